package sepia

import (
	"context"
	"image"
	"image/color"
	"runtime"

	"imagery/app/sepia/pngstream"
)

// rowSource is a photo in rows of 8-bit samples, from top to bottom.
type rowSource struct {
	width, height int
	layout        pngstream.Layout
	palette       []byte                 // of the layout Palette, 4 bytes per colour
	next          func() ([]byte, error) // returns the next row, which is valid until the next call
	held          bool                   // the photo is in memory, and next releases what it has returned
}

// size returns the bytes of all rows.
func (s rowSource) size() int { return s.width * s.height * s.layout.Channels() }

// toPNG filters a photo and writes it as a PNG. Of a photo with a palette only that is filtered: for 256 greys it takes
// a fifth of the time and of the size.
func (s rowSource) toPNG(ctx context.Context, out *sink) error {
	out.ctx = ctx
	if s.layout == pngstream.Palette {
		tones().apply(s.palette, 4)
	}
	w, err := pngstream.NewWriter(out, s.width, s.height, s.layout, s.palette)
	if err != nil {
		return err
	}
	s, stop := s.ahead()
	defer stop()
	garbage := newCollector(s.size())
	for range s.height {
		if err := ctx.Err(); err != nil {
			return err
		}
		row, err := s.tonedRow(w.Buffer())
		if err != nil {
			return err
		}
		if err := w.Row(row); err != nil {
			return err
		}
		if s.held {
			garbage.add(len(row))
		}
	}
	return w.Close()
}

// tonedRow returns the next row, filtered. It may use buf for it.
func (s rowSource) tonedRow(buf []byte) ([]byte, error) {
	row, err := s.next()
	if err != nil || s.layout == pngstream.Palette {
		return row, err
	}
	copy(buf, row)
	tones().apply(buf, s.layout.Channels())
	return buf, nil
}

// toPlanes returns an opaque photo of the layout RGBA, filtered, in planes with the mean chroma of each two by two
// pixels.
func (s rowSource) toPlanes() stripSource {
	top, bottom := make([]byte, 4*s.width), make([]byte, 4*s.width)
	read := func(m *image.YCbCr, y int) error {
		rows := min(m.Rect.Dy(), s.height-y)
		for y := 0; y < rows; y += 2 {
			upper, err := s.tonedRow(top)
			lower := upper
			if err == nil && y+1 < rows {
				lower, err = s.tonedRow(bottom)
			}
			if err != nil {
				return err
			}
			c := y / 2 * m.CStride
			twoRows(m.Y[y*m.YStride:][:2*m.YStride], m.Cb[c:], m.Cr[c:], upper, lower)
		}
		pad(m, s.width, rows)
		return nil
	}
	toned := func(*image.YCbCr, int) {}
	return stripSource{s.width, s.height, image.YCbCrSubsampleRatio420, read, toned}
}

// twoRows converts two rows of opaque 4-byte pixels. Luma has both rows, in strides of half its length.
func twoRows(luma, cb, cr, upper, lower []byte) {
	stride, width := len(luma)/2, len(upper)/4
	for x := 0; x < width; x += 2 {
		var sumB, sumR int
		for i := range 4 {
			row, px := upper, min(x+i%2, width-1)
			if i >= 2 {
				row = lower
			}
			l, b, r := color.RGBToYCbCr(row[4*px], row[4*px+1], row[4*px+2])
			luma[i/2*stride+px] = l
			sumB, sumR = sumB+int(b), sumR+int(r)
		}
		cb[x/2], cr[x/2] = uint8((sumB+2)/4), uint8((sumR+2)/4)
	}
}

// heldParts is the number of parts in which the memory of a photo is collected while it is read or written.
const heldParts = 8

// collector runs the garbage collector as often as a part of a photo has become garbage, for which Peak has room.
// Without it the runtime would wait until the garbage is as large as the photo.
type collector struct{ part, left int }

func newCollector(size int) *collector {
	part := max(size/heldParts, allowance/4) // the allowance covers the garbage of small photos
	return &collector{part, part}
}

func (c *collector) add(n int) {
	if c.left -= n; c.left <= 0 {
		runtime.GC()
		c.left = c.part
	}
}
