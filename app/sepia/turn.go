package sepia

import (
	"image"
	"image/draw"
	"slices"

	"github.com/disintegration/imaging"

	"imagery/app/sepia/pngstream"
)

// turns has the function that turns a photo upright, for each orientation. imaging rotates counter-clockwise.
var turns = map[int]func(image.Image) *image.NRGBA{
	1: imaging.Clone, 2: imaging.FlipH, 3: imaging.Rotate180, 4: imaging.FlipV, 5: imaging.Transpose,
	6: imaging.Rotate270, 7: imaging.Transverse, 8: imaging.Rotate90,
}

// bandSize is about the memory, in 4-byte pixels, of a band, the whole rows that are turned at once.
var bandSize = 1 << 20 // replaced by tests

// bandHeight returns the rows of a band, the whole rows that are turned at once.
func bandHeight(width int) int { return max(1, bandSize/(4*width)) }

// tile has some whole rows of a turned band.
type tile struct {
	pix    []byte
	stride int
}

// rows returns the height of the tile.
func (t tile) rows() int { return len(t.pix) / t.stride }

// turned reads a photo completely and returns its rows in upright orientation. It keeps the photo in tiles: those that
// are side by side in the upright photo come from different rows, and are released together.
func (s rowSource) turned(orientation int) (rowSource, error) {
	var bands [][]tile // from top to bottom, and from left to right
	garbage := newCollector(s.size())
	quarter := orientation >= 5
	rows := min(bandHeight(s.width), s.height)
	whole := s.newBand(rows)
	for y := 0; y < s.height; y += rows {
		part := whole.SubImage(image.Rect(0, 0, s.width, s.height-y))
		if err := s.read(part); err != nil {
			return rowSource{}, err
		}
		m := turns[orientation](part)
		garbage.add(2 * len(m.Pix)) // rows of an interlaced photo, too
		for i, t := range s.tiles(m, quarter) {
			if quarter && y > 0 {
				bands[i] = append(bands[i], t)
			} else {
				bands = append(bands, []tile{t})
			}
		}
	}
	switch orientation {
	case 3, 4:
		slices.Reverse(bands)
	case 6, 7:
		for _, band := range bands {
			slices.Reverse(band)
		}
	}
	if quarter {
		s.width, s.height = s.height, s.width
	}
	s.next, s.held = joined(bands), true
	return s, nil
}

// joined returns a function that returns the rows of all bands, and releases each band after its last row.
func joined(bands [][]tile) func() ([]byte, error) {
	y := 0
	var row []byte
	return func() ([]byte, error) {
		row = row[:0]
		for _, t := range bands[0] {
			row = append(row, t.pix[y*t.stride:][:t.stride]...)
		}
		if y++; y == bands[0][0].rows() {
			bands[0] = nil
			bands, y = bands[1:], 0
		}
		return row, nil
	}
}

// newBand returns memory for rows as an image. Indexes of a palette become a grey, which imaging keeps.
func (s rowSource) newBand(rows int) bandImage {
	r := image.Rect(0, 0, s.width, rows)
	if s.layout == pngstream.Palette {
		return image.NewGray(r)
	}
	return image.NewNRGBA(r)
}

// bandImage is a *image.Gray or a *image.NRGBA.
type bandImage interface {
	image.Image
	SubImage(image.Rectangle) image.Image
}

// read fills an image with the next rows.
func (s rowSource) read(m image.Image) error {
	for y := range m.Bounds().Dy() {
		row, err := s.next()
		if err != nil {
			return err
		}
		switch m := m.(type) {
		case *image.Gray:
			copy(m.Pix[y*m.Stride:], row)
		case *image.NRGBA:
			dst := m.Pix[y*m.Stride:]
			if s.layout == pngstream.RGBA {
				copy(dst, row)
				continue
			}
			for ; len(row) > 0; dst, row = dst[4:], row[3:] {
				dst[0], dst[1], dst[2], dst[3] = row[0], row[1], row[2], 255
			}
		}
	}
	return nil
}

// tiles divides a turned band of the photo into tiles that can be released one after the other.
func (s rowSource) tiles(m *image.NRGBA, quarter bool) []tile {
	n, height := s.layout.Channels(), m.Rect.Dy()
	if quarter {
		height = (height + 2*heldParts - 1) / (2 * heldParts)
	}
	var list []tile
	for pix := m.Pix; len(pix) > 0; {
		part := pix[:min(height*m.Stride, len(pix))]
		pix = pix[len(part):]
		t := tile{make([]byte, 0, len(part)/4*n), m.Stride / 4 * n}
		for ; len(part) > 0; part = part[4:] {
			t.pix = append(t.pix, part[:n]...)
		}
		list = append(list, t)
	}
	return list
}

// imageRows returns the rows of a decoded image in upright orientation. It converts and turns a band of them at a time.
func (j *job) imageRows() rowSource {
	screen := image.Rect(0, 0, j.photo.Width, j.photo.Height)
	if m, ok := j.img.(*image.Paletted); ok && m.Rect == screen { // a GIF, which has no orientation
		y := -1
		next := func() ([]byte, error) { y++; return m.Pix[y*m.Stride:][:m.Rect.Dx()], nil }
		return rowSource{width: screen.Max.X, height: screen.Max.Y, layout: pngstream.Palette,
			palette: straight(m.Palette), next: next}
	}
	s := rowSource{width: screen.Max.X, height: screen.Max.Y, layout: pngstream.RGBA}
	orientation := max(j.photo.Orientation, 1)
	if orientation >= 5 {
		s.width, s.height = s.height, s.width
	}
	var band []byte
	y, img := 0, j.img
	s.next = func() ([]byte, error) {
		if len(band) == 0 {
			rows := min(bandHeight(s.width), s.height-y)
			part := stored(screen, orientation, y, y+rows)
			band = turns[orientation](straightPart(img, part)).Pix
			y += rows
		}
		row := band[:4*s.width]
		band = band[4*s.width:]
		return row, nil
	}
	return s
}

// stored returns the part of a photo that has rows y0 to y1 of the upright one.
func stored(photo image.Rectangle, orientation, y0, y1 int) image.Rectangle {
	switch orientation {
	case 3, 4:
		y0, y1 = photo.Max.Y-y1, photo.Max.Y-y0
	case 7, 8:
		y0, y1 = photo.Max.X-y1, photo.Max.X-y0
	}
	if orientation >= 5 {
		return image.Rect(y0, 0, y1, photo.Max.Y)
	}
	return image.Rect(0, y0, photo.Max.X, y1)
}

// placed is an image on a larger canvas, which is transparent around it.
type placed struct {
	image.Image
	at image.Point
}

// straightPart returns a part of an image, in a form that imaging converts without loss. Outside of the image, as that
// of a GIF may be smaller than its screen, the part is transparent.
func straightPart(img image.Image, part image.Rectangle) image.Image {
	switch m := img.(type) {
	case placed:
		return m.straightPart(part)
	case *image.NYCbCrA: // imaging would lose the colours where alpha is 0
		return straightPlanes(&m.YCbCr, m, part)
	}
	if part.In(img.Bounds()) {
		return img.(interface {
			SubImage(image.Rectangle) image.Image
		}).SubImage(part)
	}
	m := image.NewNRGBA(part)
	draw.Draw(m, part, img, part.Min, draw.Src)
	return m
}

// straightPart returns a part of the canvas.
func (p placed) straightPart(part image.Rectangle) *image.NRGBA {
	canvas := image.NewNRGBA(part)
	inner := part.Sub(p.at).Intersect(p.Bounds())
	if inner.Empty() {
		return canvas
	}
	var m *image.NRGBA
	switch img := p.Image.(type) {
	case *image.NYCbCrA:
		m = straightPlanes(&img.YCbCr, img, inner)
	case *image.YCbCr:
		m = straightPlanes(img, nil, inner)
	case *image.NRGBA:
		m = img.SubImage(inner).(*image.NRGBA)
	}
	// Not with package draw, which loses the colours where alpha is low.
	for y := inner.Min.Y; y < inner.Max.Y; y++ {
		copy(canvas.Pix[canvas.PixOffset(inner.Min.X+p.at.X, y+p.at.Y):],
			m.Pix[m.PixOffset(inner.Min.X, y):][:4*inner.Dx()])
	}
	return canvas
}

// straightPlanes converts a part of the planes of a lossy WebP, with the plane of alpha if it has one.
func straightPlanes(m *image.YCbCr, alpha *image.NYCbCrA, part image.Rectangle) *image.NRGBA {
	whole := part
	whole.Min.X &^= 1 // where a chroma sample begins
	canvas := image.NewNRGBA(whole)
	for y := range whole.Dy() {
		row := canvas.Pix[y*canvas.Stride:][:canvas.Stride]
		webpRow(row, m, whole.Min.X, whole.Min.Y+y)
		if alpha == nil {
			continue
		}
		for x, a := range alpha.A[alpha.AOffset(whole.Min.X, whole.Min.Y+y):][:whole.Dx()] {
			row[4*x+3] = a
		}
	}
	return canvas.SubImage(part).(*image.NRGBA)
}
