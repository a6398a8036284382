package pngstream_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"io"
	"testing"

	"imagery/app/sepia/pngstream"
)

// kinds calls f with a file of every colour type and depth, plain and interlaced, with and without transparency.
func kinds(width, height int, f func(name string, kind file)) {
	for _, kind := range []struct {
		colour byte
		depths []byte
	}{
		{0, []byte{1, 2, 4, 8, 16}},
		{2, []byte{8, 16}},
		{3, []byte{1, 2, 4, 8}},
		{4, []byte{8, 16}},
		{6, []byte{8, 16}},
	} {
		for _, depth := range kind.depths {
			for i := range 4 {
				p := file{width: width, height: height, depth: depth, colour: kind.colour, filter: -1}
				p.interlaced = i&1 != 0
				if kind.colour == 3 {
					p.palette = []byte{1, 2, 3, 200, 100, 50} // fewer than there are indexes
				}
				if i&2 != 0 {
					p.transparency = map[byte][]byte{0: {0, 1}, 2: {0, 1, 0, 0, 0, 3}, 3: {9, 99, 199}}[kind.colour]
					if p.transparency == nil {
						continue
					}
				}
				f(fmt.Sprintf("colour %d depth %d kind %d", kind.colour, depth, i), p)
			}
		}
	}
}

// TestKinds decodes every kind in sizes at which passes of interlaced pictures have no pixel or one.
func TestKinds(t *testing.T) {
	for width := 1; width <= 9; width++ {
		for height := 1; height <= 9; height++ {
			kinds(width, height, func(name string, f file) {
				if !same(t, fmt.Sprint(width, " x ", height, " ", name), f.bytes()) {
					t.Errorf("%d x %d %s: refused", width, height, name)
				}
			})
		}
	}
}

// TestFilters decodes every kind with each filter in all rows, of a width that is no multiple of a word.
func TestFilters(t *testing.T) {
	for filter := range 5 {
		kinds(77, 9, func(name string, f file) {
			f.filter = filter
			if !same(t, fmt.Sprint("filter ", filter, " ", name), f.bytes()) {
				t.Errorf("filter %d %s: refused", filter, name)
			}
		})
	}
}

// same fails unless Reader makes of raw what image/png makes of it, or of the same file without the faults that Reader
// passes over. It returns whether Reader accepts it.
func same(t *testing.T, name string, raw []byte) bool {
	t.Helper()
	want, wantErr := png.Decode(bytes.NewReader(raw))
	got, err := readAll(bytes.NewReader(raw))
	switch {
	case err != nil || wantErr == nil && got.mended == nil:
	case wantErr == nil:
		t.Fatalf("%s: mended (%v), image/png sees no fault", name, got.mended)
	case got.mended == nil:
		want, wantErr = png.Decode(bytes.NewReader(withChecksums(raw, ancillary)))
	default:
		want, wantErr = png.Decode(bytes.NewReader(repaired(raw)))
	}
	if (err == nil) != (wantErr == nil) {
		t.Fatalf("%s: got error %v, image/png has %v", name, err, wantErr)
	}
	if err != nil {
		return false
	}
	if got.Bounds() != want.Bounds() {
		t.Fatalf("%s: got %v, want %v", name, got.Bounds(), want.Bounds())
	}
	layout := pngstream.RGBA
	switch want.(type) {
	case *image.Gray, *image.Gray16, *image.Paletted:
		layout = pngstream.Palette
	case *image.RGBA, *image.RGBA64:
		layout = pngstream.RGB
	}
	if got.layout != layout {
		t.Fatalf("%s: got layout %v, want %v", name, got.layout, layout)
	}
	for y := range got.Rect.Dy() {
		for x := range got.Rect.Dx() {
			if g, w := got.NRGBAAt(x, y), straight(want.At(x, y)); g != w {
				t.Fatalf("%s: pixel %d,%d is %v, want %v", name, x, y, g, w)
			}
		}
	}
	return true
}

// straight returns the high bytes of a colour.
func straight(c color.Color) color.NRGBA {
	switch c := c.(type) {
	case color.NRGBA:
		return c
	case color.RGBA: // opaque
		return color.NRGBA(c)
	case color.Gray:
		return color.NRGBA{c.Y, c.Y, c.Y, 255}
	case color.Gray16:
		v := byte(c.Y >> 8)
		return color.NRGBA{v, v, v, 255}
	case color.RGBA64: // opaque
		return color.NRGBA{byte(c.R >> 8), byte(c.G >> 8), byte(c.B >> 8), 255}
	case color.NRGBA64:
		return color.NRGBA{byte(c.R >> 8), byte(c.G >> 8), byte(c.B >> 8), byte(c.A >> 8)}
	}
	panic(fmt.Sprintf("unexpected colour %T", c))
}

// decoded is a picture that Reader has decoded, and the layout of its rows.
type decoded struct {
	*image.NRGBA
	layout pngstream.Layout
	mended error
}

func readAll(file io.Reader) (decoded, error) {
	r, err := pngstream.NewReader(file)
	if err != nil {
		return decoded{}, err
	}
	var rows [][]byte
	for range r.Height() {
		row, err := r.Row()
		if err != nil {
			return decoded{}, err
		}
		rows = append(rows, bytes.Clone(row))
	}
	if _, err := r.Row(); err != io.EOF {
		return decoded{}, errors.New("no EOF after the last row")
	}
	m := image.NewNRGBA(image.Rect(0, 0, r.Width(), r.Height()))
	for y, row := range rows {
		if len(row) != r.Width()*r.Layout().Channels() {
			panic(fmt.Sprintf("row %d has %d bytes", y, len(row)))
		}
		for x := range r.Width() {
			var c color.NRGBA
			switch r.Layout() {
			case pngstream.Palette:
				p := r.Palette()[4*int(row[x]):]
				c = color.NRGBA{p[0], p[1], p[2], p[3]}
			case pngstream.RGB:
				p := row[3*x:]
				c = color.NRGBA{p[0], p[1], p[2], 255}
			case pngstream.RGBA:
				p := row[4*x:]
				c = color.NRGBA{p[0], p[1], p[2], p[3]}
			}
			m.SetNRGBA(x, y, c)
		}
	}
	return decoded{m, r.Layout(), r.Mended()}, nil
}
