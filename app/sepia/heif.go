package sepia

import (
	"context"
	"errors"
	"fmt"
	"image"

	"imagery/app/sepia/codec"
	"imagery/app/sepia/heif"
)

// heifPasses is the work of decoding HEIC and AVIF, in passes of a progressive JPEG, of which one takes about 8 ns a
// pixel: on one core 12 megapixels take about 8 s.
const heifPasses = 80

// readHEIF reads the boxes that describe a HEIC, HEIF or AVIF.
func readHEIF(s *source, maxPixels int64) (Photo, error) {
	m, err := heif.Read(s.r)
	if err != nil {
		return Photo{}, badHEIF(err)
	}
	if !codec.Available {
		return Photo{}, unsupported("This service was built without the decoders of HEIC and AVIF. Send a JPEG instead.")
	}
	// The decoder meets all pixels, also those outside of a clean aperture.
	p := m.Plane
	if err := checkSize(uint32(p.Columns*p.TileWidth), uint32(p.Rows*p.TileHeight), maxPixels+gridMargin(p)); err != nil {
		return Photo{}, err
	}
	photo := Photo{Format: Format(m.Format), Width: m.Crop.Dx(), Height: m.Crop.Dy(), Orientation: m.Orientation,
		passes: heifPasses, colours: heifColours(m)}
	if err := checkSize(uint32(photo.Width), uint32(photo.Height), maxPixels); err != nil {
		return Photo{}, err
	}
	photo.cost = heifCost(m, photo.Width, photo.Height)
	photo.at = func(width, height int) cost { return heifCost(m, width, height) }
	return photo, nil
}

// gridMargin returns the pixels that the last tiles of rows and columns may have beyond the photo.
func gridMargin(p heif.Plane) int64 {
	return int64(p.Columns*p.TileWidth)*int64(p.Rows*p.TileHeight) - int64(p.Width)*int64(p.Height)
}

// badHEIF returns the error for a container that cannot be read. One that ends early may be an incomplete header.
func badHEIF(err error) error {
	var u *heif.UnsupportedError
	if errors.As(err, &u) {
		return unreadable(fmt.Sprintf("This photo has %s, which is not supported. Send it as a JPEG.", u.Feature), err)
	}
	return unreadable("This HEIC or AVIF is damaged or cut short.", err)
}

// heifColours returns the description of the colours. A profile precedes code points.
func heifColours(m *heif.Image) colours {
	c := colours{channels: 3}
	switch v := m.Plane.CICP; {
	case len(m.ICC) > 0:
		if len(m.ICC) <= maxProfile {
			c.held = m.ICC
		}
	case v != nil && v.Primaries < 256 && v.Transfer < 256:
		const rgb, fullRange = 0, 1 // as decoded
		c.tags = colourTags{hasCICP: true, cicp: [4]byte{byte(v.Primaries), byte(v.Transfer), rgb, fullRange}}
		c.settle()
	}
	return c
}

// heifCost returns the memory for a photo like m of another size, with that of a conversion of colours, which may be
// described in the coded pictures only.
func heifCost(m *heif.Image, width, height int) cost {
	pixels, tile := int64(width)*int64(height), int64(m.Plane.TileWidth)*int64(m.Plane.TileHeight)
	if len(m.Plane.Tiles) == 1 {
		tile = pixels
	}
	deep := m.Plane.Depth > 8
	result := 4 * tile // of the decoder
	if deep {
		result *= 2
	}
	described := colours{held: []byte{}}
	conversion := described.memory(max(width, height))
	c := cost{decode: 4*pixels + result + codec.Memory(m.Format, tile, deep) + conversion, planar: true,
		image: 4*pixels + bands(int64(max(width, height)), pixels) + conversion}
	if m.Alpha != nil {
		c.planar, c.result = false, pngResult
	}
	return c
}

// decodeHEIF decodes all pictures of the photo. It sets the colours of the job, which only the coded pictures may have.
func decodeHEIF(ctx context.Context, j *job) (image.Image, error) {
	raw := j.raw
	m, err := heif.Parse(raw)
	if err != nil {
		return nil, err
	}
	if !j.photo.colours.described() {
		c := heifColours(m)
		j.colours = c.transform(raw)
	}
	canvas := image.NewNRGBA(m.Crop)
	if err := eachTile(ctx, m, &m.Plane, raw, newPainter(canvas, m)); err != nil {
		return nil, err
	}
	if m.Alpha != nil {
		if err := eachTile(ctx, m, m.Alpha, raw, newAlphaPainter(canvas, m)); err != nil {
			return nil, err
		}
		if m.Premultiplied {
			straighten(canvas.Pix)
		}
	}
	canvas.Rect = canvas.Rect.Sub(canvas.Rect.Min)
	return canvas, nil
}

// painter paints a tile of a plane.
type painter interface {
	tile(img image.Image, at image.Point) error
}

// eachTile decodes the tiles of a plane, one at a time.
func eachTile(ctx context.Context, m *heif.Image, p *heif.Plane, raw []byte, to painter) error {
	for i, item := range p.Tiles {
		file, err := item.File(raw)
		if err != nil {
			return err
		}
		memory := codec.Memory(m.Format, int64(item.Width)*int64(item.Height), p.Depth > 8)
		img, err := codec.Decode(ctx, m.Format, file, memory)
		if err != nil {
			return fmt.Errorf("picture %d of %d: %w", i+1, len(p.Tiles), err)
		}
		if got := img.Bounds().Size(); got != image.Pt(item.Width, item.Height) {
			return fmt.Errorf("picture %d has %v pixels, not %d x %d", i+1, got, item.Width, item.Height)
		}
		if err := to.tile(img, image.Pt(i%p.Columns*p.TileWidth, i/p.Columns*p.TileHeight)); err != nil {
			return err
		}
	}
	return nil
}

// straighten divides the colours of 4-byte pixels by their alpha.
func straighten(pix []byte) {
	for ; len(pix) > 0; pix = pix[4:] {
		if a := int(pix[3]); a > 0 && a < 255 {
			for i := range 3 {
				pix[i] = byte(min((int(pix[i])*255+a/2)/a, 255))
			}
		}
	}
}
