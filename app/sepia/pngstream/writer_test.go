package pngstream_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math/rand/v2"
	"runtime"
	"testing"
	"weak"

	"imagery/app/sepia/pngstream"
)

// write encodes rows of a layout.
func write(width, height int, layout pngstream.Layout, palette, pix []byte) ([]byte, error) {
	var file bytes.Buffer
	w, err := pngstream.NewWriter(&file, width, height, layout, palette)
	if err != nil {
		return nil, err
	}
	row := width * layout.Channels()
	for ; len(pix) > 0; pix = pix[row:] {
		line := pix[:row]
		if own := w.Buffer(); own != nil && len(pix)/row%3 > 0 { // some rows in memory of the writer
			copy(own, line)
			line = own
		}
		if err := w.Row(line); err != nil {
			return nil, err
		}
	}
	err = w.Close()
	return file.Bytes(), err
}

// checkFile compares what image/png decodes with the rows that were written.
func checkFile(t *testing.T, width, height int, layout pngstream.Layout, palette, pix []byte) {
	t.Helper()
	file, err := write(width, height, layout, palette, pix)
	if err != nil {
		t.Fatal(err)
	}
	m, err := png.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	if m.Bounds() != image.Rect(0, 0, width, height) {
		t.Fatalf("got bounds %v, want %d x %d", m.Bounds(), width, height)
	}
	n := layout.Channels()
	for i := range width * height {
		p := pix[n*i:][:n]
		if layout == pngstream.Palette {
			p = palette[4*int(p[0]):][:4]
		}
		want := color.NRGBA{p[0], p[1], p[2], 255}
		if len(p) == 4 {
			want.A = p[3]
		}
		if got := color.NRGBAModel.Convert(m.At(i%width, i/width)); got != want {
			t.Fatalf("pixel %d,%d is %v, want %v", i%width, i/width, got, want)
		}
	}
}

var layouts = []pngstream.Layout{pngstream.Palette, pngstream.RGB, pngstream.RGBA}

// greys returns a palette of n greys, the first of which are transparent.
func greys(n, transparent int) (palette []byte) {
	for i := range n {
		alpha := byte(255)
		if i < transparent {
			alpha = byte(i * 40)
		}
		palette = append(palette, byte(i), byte(i), byte(i), alpha)
	}
	return palette
}

func TestWriterSizes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, layout := range layouts {
		for width := 1; width <= 17; width++ {
			for _, height := range []int{1, 2, 9} {
				t.Run(fmt.Sprintf("%d channels, %d x %d", layout.Channels(), width, height), func(t *testing.T) {
					pix := make([]byte, width*height*layout.Channels())
					for i := range pix {
						pix[i] = byte(random.Uint32())
					}
					checkFile(t, width, height, layout, greys(256, width), pix)
				})
			}
		}
	}
}

// pictures has pixels for which each filter, and each way to compress, is the best.
var pictures = map[string]func(x, y, c int) byte{
	"flat":       func(x, y, c int) byte { return byte(40 * c) },
	"noise":      func(x, y, c int) byte { return byte(rand.New(rand.NewPCG(uint64(x), uint64(y<<2+c))).Uint32()) },
	"rows":       func(x, y, c int) byte { return byte(x * x * (c + 1)) },
	"columns":    func(x, y, c int) byte { return byte(y * y * (c + 1)) },
	"diagonal":   func(x, y, c int) byte { return byte(3*x + 5*y + 9*c) },
	"text":       func(x, y, c int) byte { return byte(255 * (x * y % 23 / 22)) },
	"white":      func(x, y, c int) byte { return 255 },
	"one colour": func(x, y, c int) byte { return byte((x / 64 & 1) * 77) },
}

func TestWriterPictures(t *testing.T) {
	const width, height = 301, 299
	for name, at := range pictures {
		for _, layout := range layouts {
			t.Run(fmt.Sprintf("%s, %d channels", name, layout.Channels()), func(t *testing.T) {
				checkFile(t, width, height, layout, greys(256, 3), painted(width, height, layout, at))
			})
		}
	}
}

func painted(width, height int, layout pngstream.Layout, at func(x, y, c int) byte) []byte {
	n := layout.Channels()
	pix := make([]byte, width*height*n)
	for i := range pix {
		pix[i] = at(i/n%width, i/n/width, i%n)
	}
	return pix
}

// TestWriterOfScreenshot: photos within flat graphics, in bands of several blocks of the compressor, take only the
// space of the photos.
func TestWriterOfScreenshot(t *testing.T) {
	const width, height = 700, 600
	pix := painted(width, height, pngstream.RGB, func(x, y, c int) byte {
		if y/150%2 == 0 {
			return 200
		}
		return byte(uint32(y*width*3+x*3+c)*2654435761>>24) % 100
	})
	checkFile(t, width, height, pngstream.RGB, nil, pix)
	file, err := write(width, height, pngstream.RGB, nil, pix)
	if err != nil || len(file) > len(pix)*55/100 {
		t.Errorf("%d bytes of %d, %v", len(file), len(pix), err)
	}
}

// TestWriterOfGreys: the indexes of a grey photo are filtered, which halves the file. Those of other palettes are not.
func TestWriterOfGreys(t *testing.T) {
	const width, height = 600, 500
	random := rand.New(rand.NewPCG(3, 4))
	at := func(x, y, c int) byte { return byte(x/3 + y/4 + random.IntN(8)) }
	pix := painted(width, height, pngstream.Palette, at)
	size := func(palette []byte) int {
		file, err := write(width, height, pngstream.Palette, palette, pix)
		if err != nil {
			t.Fatal(err)
		}
		return len(file)
	}
	grey, other := greys(256, 0), greys(256, 0)
	copy(other[4:], []byte{200, 200, 200})
	if size(grey) > len(pix)*5/8 || size(other) < size(grey)*4/3 {
		t.Errorf("%d bytes with greys, %d with another palette, of %d", size(grey), size(other), len(pix))
	}
}

// TestWriterPalette: the file has exactly the colours that were given, and alpha up to the last that is not opaque.
func TestWriterPalette(t *testing.T) {
	for _, c := range []struct{ colours, transparent, want int }{{1, 0, -1}, {2, 1, 1}, {256, 256, 256}, {17, 3, 3}} {
		file, err := write(1, 1, pngstream.Palette, greys(c.colours, c.transparent), []byte{0})
		if err != nil {
			t.Fatal(err)
		}
		length := func(name string) int {
			i := bytes.Index(file, []byte(name))
			if i < 0 {
				return -1
			}
			return int(binary.BigEndian.Uint32(file[i-4:]))
		}
		if length("PLTE") != 3*c.colours || length("tRNS") != c.want {
			t.Errorf("%+v: PLTE has %d bytes, tRNS %d", c, length("PLTE"), length("tRNS"))
		}
	}
}

func TestWriterRefuses(t *testing.T) {
	for name, c := range map[string]struct {
		width, height int
		layout        pngstream.Layout
		palette, pix  []byte
	}{
		"no width":        {0, 1, pngstream.RGB, nil, nil},
		"no height":       {1, 0, pngstream.RGB, nil, nil},
		"a great height":  {1, 1 << 31, pngstream.RGB, nil, nil},
		"no palette":      {1, 1, pngstream.Palette, nil, []byte{0}},
		"a large palette": {1, 1, pngstream.Palette, make([]byte, 4*257), []byte{0}},
		"a row too few":   {1, 2, pngstream.RGB, nil, make([]byte, 3)},
		"a row too many":  {1, 1, pngstream.RGB, nil, make([]byte, 6)},
		"no row":          {1, 1, pngstream.RGB, nil, nil},
	} {
		if _, err := write(c.width, c.height, c.layout, c.palette, c.pix); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	w, err := pngstream.NewWriter(new(bytes.Buffer), 2, 1, pngstream.RGB, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Row(make([]byte, 5)); err == nil {
		t.Error("a short row is accepted")
	}
}

// failing fails at the n-th call of Write.
type failing struct{ n int }

var errFull = errors.New("the disk is full")

func (f *failing) Write(p []byte) (int, error) {
	if f.n--; f.n < 0 {
		return 0, errFull
	}
	return len(p), nil
}

// TestWriterReportsErrors: an error of the destination reaches the caller, wherever it occurs.
func TestWriterReportsErrors(t *testing.T) {
	const width, height = 300, 300
	pix := painted(width, height, pngstream.RGBA, pictures["noise"])
	encode := func(n int) (left int, err error) {
		f := &failing{n}
		w, err := pngstream.NewWriter(f, width, height, pngstream.RGBA, nil)
		for y := 0; err == nil && y < height; y++ {
			err = w.Row(pix[4*width*y:][:4*width])
		}
		if err == nil {
			err = w.Close()
		}
		return f.n, err
	}
	const many = 1000
	left, err := encode(many)
	if err != nil || many-left < 5 {
		t.Fatalf("%d writes, %v", many-left, err)
	}
	for n := range many - left {
		if _, err := encode(n); !errors.Is(err, errFull) {
			t.Errorf("write %d fails: got %v", n, err)
		}
	}
}

// TestWriterKeepsNothing: the compressor waits for the next picture without the result of this one, which is as large.
func TestWriterKeepsNothing(t *testing.T) {
	out := new(bytes.Buffer)
	kept := weak.Make(out)
	w, err := pngstream.NewWriter(out, 100, 1, pngstream.RGB, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(w.Row(make([]byte, 300)), w.Close()); err != nil || out.Len() == 0 {
		t.Fatal(out.Len(), err)
	}
	runtime.GC()
	if kept.Value() != nil {
		t.Error("the result is still in memory")
	}
}

func FuzzWriter(f *testing.F) {
	f.Add(uint8(3), uint8(1), []byte("some pixels of a picture"))
	f.Add(uint8(200), uint8(2), bytes.Repeat([]byte{7, 7, 7, 0}, 999))
	f.Add(uint8(0), uint8(0), []byte{1})
	f.Fuzz(func(t *testing.T, columns, kind uint8, pix []byte) {
		layout := layouts[int(kind)%len(layouts)]
		width := int(columns) + 1
		row := width * layout.Channels()
		if len(pix) < row || len(pix) > 1<<18 {
			t.Skip()
		}
		pix = pix[:len(pix)/row*row]
		checkFile(t, width, len(pix)/row, layout, greys(256, int(kind)), pix)
	})
}
