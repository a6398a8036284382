package sepia

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"image/color"
	"sync"

	"imagery/app/sepia/icc"
	"imagery/app/sepia/jfif"
	"imagery/app/sepia/pngstream"
)

var decoderPool = sync.Pool{New: func() any { return new(jfif.Decoder) }}

// stream processes a JPEG completely, with only a few strips in memory, the coefficients of a progressive one, and a
// part of the planes of one that is not upright.
func stream(ctx context.Context, j *job) error {
	d := decoderPool.Get().(*jfif.Decoder)
	defer func() {
		d.Close() // the pool must not keep the file in memory
		decoderPool.Put(d)
	}()
	timeout := cmp.Or(j.filter.DecodeTimeout, DecodeTimeout)
	limit, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := openJPEG(limit, d, j)
	if err == nil {
		if !d.Repeated {
			limit = ctx // the rest depends only on the number of pixels
		}
		err = streamOpen(ctx, limit, d, j)
	}
	j.raw = nil
	if err == nil {
		j.warning = warnings[d.Damage]
	}
	switch {
	case errors.Is(err, jfif.ErrCut):
		return unreadable("This JPEG is cut short: more than half of the picture is missing. Please send the whole file.",
			err)
	case errors.Is(err, jfif.ErrInvalid):
		return unreadable("This JPEG is damaged or cut short.", err)
	case err != nil && limit.Err() != nil: // if ctx has ended, Apply returns the error of ctx
		return unreadable("It takes too long to decode.", fmt.Errorf("not decoded after %v", timeout))
	}
	return err
}

// warnings tell the user what was mended in a JPEG.
var warnings = map[jfif.Damage]string{
	jfif.Beside: "What this file says beside the picture, such as its date, is damaged; the picture is complete.",
	jfif.NoEnd:  "This photo lacks its end marker, as if the end of the file were missing; the picture is complete.",
	jfif.Coarse: "The end of this photo is missing, so that fine detail may be missing.",
	jfif.Cut:    "The end of this photo is missing; the missing part is grey.",
	jfif.Broken: "A part of this photo is damaged; it may be grey or look wrong.",
}

// streamOpen processes a photo that d has opened. It reads it until limit has ended.
func streamOpen(ctx, limit context.Context, d *jfif.Decoder, j *job) error {
	j.streamed = !d.Progressive // whose coefficients are to be collected before the next photo
	source, err := jpegSource(limit, d, j)
	if err != nil {
		return err
	}
	return source.toJPEG(ctx, &j.out)
}

// jpegSource returns the upright photo that d has opened.
func jpegSource(ctx context.Context, d *jfif.Decoder, j *job) (source stripSource, err error) {
	orientation := j.photo.Orientation
	switch {
	case d.Model > jfif.YCbCr:
		rows := jpegRows(ctx, d, j.colours)
		if orientation > 1 {
			if rows, err = rows.turned(orientation); err != nil {
				return source, err
			}
		}
		return rows.toPlanes(), nil
	case orientation == 1:
		return jpegStrips(ctx, d).in(j.colours), nil
	case d.Progressive:
		m, err := decodePlanes(ctx, d)
		if err != nil {
			return source, err
		}
		return upright(m, m.Rect.Size(), orientation).in(j.colours), nil
	}
	return turnedStrips(ctx, d, j.raw, orientation).in(j.colours), nil
}

func isJPEG(j *job) bool { return j.photo.Format == JPEG }

// openJPEG opens the photo with d and loads the coefficients of a progressive one.
func openJPEG(ctx context.Context, d *jfif.Decoder, j *job) error {
	if err := d.Open(j.raw); err != nil {
		return err
	}
	if d.Width != j.photo.Width || d.Height != j.photo.Height {
		return unreadable("This JPEG is damaged.", errors.New("the size of the image differs from that in the header"))
	}
	return d.Load(ctx)
}

// jpegStrips returns an upright photo that is stored as grey or YCbCr.
func jpegStrips(ctx context.Context, d *jfif.Decoder) stripSource {
	collect := coefficients(d)
	read := func(m *image.YCbCr, y int) error {
		height := min(m.Rect.Dy(), d.Height-y)
		if err := readPlanes(ctx, d, m, height); err != nil {
			return err
		}
		collect(height)
		if d.Model == jfif.Grey {
			fill(m.Cb, 128)
			fill(m.Cr, 128)
		}
		pad(m, d.Width, height)
		return nil
	}
	return stripSource{width: d.Width, height: d.Height, ratio: narrow[d.Ratio], read: read}
}

// coefficients returns a function that collects, after that many rows more, the coefficients that became garbage.
func coefficients(d *jfif.Decoder) (collect func(rows int)) {
	if !d.Progressive {
		return func(int) {}
	}
	row := 2 * d.Width * planeBytes(d.Ratio, d.Model == jfif.Grey) / 4
	garbage := newCollector(row * d.Height)
	return func(rows int) { garbage.add(row * rows) }
}

// narrow is the sampling of strips. Where four columns share a sample of chroma it is repeated for two of them.
var narrow = map[image.YCbCrSubsampleRatio]image.YCbCrSubsampleRatio{
	image.YCbCrSubsampleRatio444: image.YCbCrSubsampleRatio444,
	image.YCbCrSubsampleRatio440: image.YCbCrSubsampleRatio440,
	image.YCbCrSubsampleRatio422: image.YCbCrSubsampleRatio422,
	image.YCbCrSubsampleRatio420: image.YCbCrSubsampleRatio420,
	image.YCbCrSubsampleRatio411: image.YCbCrSubsampleRatio422,
	image.YCbCrSubsampleRatio410: image.YCbCrSubsampleRatio420,
}

// readPlanes reads the next rows into the first ones of m, whose sampling is narrow.
func readPlanes(ctx context.Context, d *jfif.Decoder, m *image.YCbCr, height int) error {
	for y := 0; y < height; y += d.StripHeight {
		rows := from(m, y)
		if err := d.Strip(ctx, &rows, nil); err != nil {
			return err
		}
	}
	if narrow[d.Ratio] != d.Ratio {
		_, v := sampling(m.SubsampleRatio)
		for y := range (height + v - 1) / v {
			widen(m.Cb[y*m.CStride:][:m.CStride])
			widen(m.Cr[y*m.CStride:][:m.CStride])
		}
	}
	return nil
}

// widen repeats each sample of the first half of a row.
func widen(row []uint8) {
	for x := len(row) - 1; x > 0; x-- {
		row[x] = row[x/2]
	}
}

// decodePlanes decodes a progressive photo that is to be turned. Coefficients become garbage while it fills the planes.
func decodePlanes(ctx context.Context, d *jfif.Decoder) (*image.YCbCr, error) {
	whole := image.Rect(0, 0, wholeMCUs(d.Width), wholeMCUs(d.Height))
	m := image.YCbCr{YStride: whole.Dx(), SubsampleRatio: narrow[d.Ratio], Rect: whole}
	if d.Model == jfif.Grey {
		m.Y = make([]uint8, whole.Dx()*whole.Dy())
	} else {
		m = *image.NewYCbCr(whole, narrow[d.Ratio])
	}
	collect := coefficients(d)
	for y := 0; y < d.Height; y += 16 {
		rows := from(&m, y)
		if err := readPlanes(ctx, d, &rows, min(16, d.Height-y)); err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		collect(16)
	}
	m.Rect = image.Rect(0, 0, d.Width, d.Height)
	return &m, nil
}

// jpegRows returns the rows of a photo that is not stored as grey or YCbCr, as opaque RGB in sRGB.
func jpegRows(ctx context.Context, d *jfif.Decoder, colours *icc.Transform) rowSource {
	// Room for the widest MCU, of 32 columns.
	m := image.NewYCbCr(image.Rect(0, 0, (d.Width+31)&^31, 16), d.Ratio)
	black, row := make([]uint8, len(m.Y)), make([]byte, 4*d.Width)
	h, v := sampling(d.Ratio)
	collect := coefficients(d)
	y := -1
	next := func() ([]byte, error) {
		y++
		at := y % d.StripHeight
		if at == 0 {
			if err := d.Strip(ctx, m, black); err != nil {
				return nil, err
			}
			collect(d.StripHeight)
		}
		for x := range d.Width {
			i, c := at*m.YStride+x, at/v*m.CStride+x/h
			p := row[4*x : 4*x+4 : 4*x+4]
			p[0], p[1], p[2], p[3] = m.Y[i], m.Cb[c], m.Cr[c], 255
			if d.Model == jfif.RGB {
				continue
			}
			p[0], p[1], p[2], p[3] = inks(d.Model, p[0], p[1], p[2], black[i])
			if colours == nil {
				p[0], p[1], p[2] = color.CMYKToRGB(p[0], p[1], p[2], p[3])
				p[3] = 255
			}
		}
		return row, nil
	}
	return rowSource{width: d.Width, height: d.Height, layout: pngstream.RGBA, next: next}.in(colours)
}

// inks returns the inks of a pixel of CMYK or YCCK from its samples; 255 is full ink.
func inks(model jfif.Model, a, b, c, d uint8) (cyan, magenta, yellow, black uint8) {
	if model == jfif.YCCK {
		cyan, magenta, yellow = color.YCbCrToRGB(a, b, c)
		return cyan, magenta, yellow, 255 - d
	}
	return 255 - a, 255 - b, 255 - c, 255 - d
}
