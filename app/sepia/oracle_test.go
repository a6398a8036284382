package sepia_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"image"
	"image/color"
	"image/draw"
	"math"
	"testing"

	"imagery/app/sepia"
	"imagery/app/testing/short"
)

// golden is the SHA-256 of all colours (r, g, b = 0..255, b fastest) as the engine of the book makes them.
const golden = "d9f5ef9333ab4c7fd5aa74bcc57bd68aaa8913c1a572e00af87a8f56d3604c5f"

// naive is the arithmetic as it is defined, step by step, with nothing of the product's code.
func naive(c color.NRGBA) color.NRGBA {
	store := func(v float64) float64 { return math.RoundToEven(math.Max(0, math.Min(255, v))) }
	bright := func(v uint8) float64 { return store(float64(v) + 25) }
	r, g, b := bright(c.R), bright(c.G), bright(c.B)

	factor := 1.3
	factor = float64(factor * factor)
	contrast := func(v float64) float64 {
		v = float64((v/255 - 0.5) * factor)
		v += 0.5
		return store(float64(v * 255))
	}
	r, g, b = contrast(r), contrast(g), contrast(b)

	a := 0.6
	part := func(v, weight float64) float64 { return float64(v * float64(weight*a)) }
	rest := func(v, weight float64) float64 { return float64(v * (1 - float64(weight*a))) }
	r = math.Min(255, rest(r, 0.607)+part(g, 0.769)+part(b, 0.189))
	g = math.Min(255, part(r, 0.349)+rest(g, 0.314)+part(b, 0.168))
	b = math.Min(255, part(r, 0.272)+part(g, 0.534)+rest(b, 0.869))
	r, g, b = store(r), store(g), store(b)

	m := math.Max(r, math.Max(g, b))
	fade := func(v float64) uint8 {
		if v == m {
			return uint8(v)
		}
		return uint8(store(v + float64((m-v)*0.3)))
	}
	return color.NRGBA{fade(r), fade(g), fade(b), c.A}
}

// allColours hashes what f makes of every colour.
func allColours(f func(pix []byte)) string {
	h := sha256.New()
	pix, out := make([]byte, 4<<16), make([]byte, 0, 3<<16)
	for r := range 256 {
		for i := range 1 << 16 {
			copy(pix[4*i:], []byte{byte(r), byte(i >> 8), byte(i), byte(i * 7)})
		}
		f(pix)
		out = out[:0]
		for i := range 1 << 16 {
			out = append(out, pix[4*i:4*i+3]...)
		}
		h.Write(out)
	}
	return hex.EncodeToString(h.Sum(nil))
}

func TestGoldenFilter(t *testing.T) {
	if got := allColours(sepia.Tone); got != golden {
		t.Errorf("the filter makes %s of all colours, want %s", got, golden)
	}
}

func TestGoldenOracle(t *testing.T) {
	short.Skip(t, "a check of the comparison itself")
	got := allColours(func(pix []byte) {
		for p := pix; len(p) > 0; p = p[4:] {
			c := naive(color.NRGBA{p[0], p[1], p[2], p[3]})
			p[0], p[1], p[2] = c.R, c.G, c.B
		}
	})
	if got != golden {
		t.Errorf("the oracle makes %s of all colours, want %s", got, golden)
	}
}

// pixels is a picture as the oracle sees it.
type pixels struct {
	width, height int
	at            func(x, y int) color.NRGBA
}

// sepiaOf is the oracle's result: turned upright, then filtered.
func (p pixels) sepiaOf(orientation int) pixels {
	t := p.upright(orientation)
	return pixels{t.width, t.height, func(x, y int) color.NRGBA { return naive(t.at(x, y)) }}
}

// upright says where the EXIF standard finds the pixel that belongs at x, y.
func (p pixels) upright(orientation int) pixels {
	w, h := p.width, p.height
	source := map[int]func(x, y int) (int, int){
		2: func(x, y int) (int, int) { return w - 1 - x, y },
		3: func(x, y int) (int, int) { return w - 1 - x, h - 1 - y },
		4: func(x, y int) (int, int) { return x, h - 1 - y },
		5: func(x, y int) (int, int) { return y, x },
		6: func(x, y int) (int, int) { return y, h - 1 - x },
		7: func(x, y int) (int, int) { return w - 1 - y, h - 1 - x },
		8: func(x, y int) (int, int) { return w - 1 - y, x },
	}[orientation]
	if source == nil {
		return p
	}
	turned := pixels{w, h, func(x, y int) color.NRGBA { return p.at(source(x, y)) }}
	if orientation >= 5 {
		turned.width, turned.height = h, w
	}
	return turned
}

// straightPixels reads any image whose colours are opaque or straight.
func straightPixels(m image.Image) pixels {
	b := m.Bounds()
	if y, ok := m.(*image.YCbCr); ok {
		rgba := image.NewRGBA(b)
		draw.Draw(rgba, b, y, b.Min, draw.Src)
		m = rgba
	}
	return pixels{b.Dx(), b.Dy(), func(x, y int) color.NRGBA {
		return color.NRGBAModel.Convert(m.At(b.Min.X+x, b.Min.Y+y)).(color.NRGBA)
	}}
}

// compare fails where got differs from want by more than tolerance in any channel.
func compare(t *testing.T, got image.Image, want pixels, tolerance int) {
	t.Helper()
	if got.Bounds() != image.Rect(0, 0, want.width, want.height) {
		t.Fatalf("got bounds %v, want %d x %d", got.Bounds(), want.width, want.height)
	}
	at := straightPixels(got).at
	for y := range want.height {
		for x := range want.width {
			g, w := at(x, y), want.at(x, y)
			for i, v := range [4]uint8{g.R, g.G, g.B, g.A} {
				if d := int(v) - int([4]uint8{w.R, w.G, w.B, w.A}[i]); d > tolerance || -d > tolerance {
					t.Fatalf("pixel %d,%d is %v, want %v (tolerance %d)", x, y, g, w, tolerance)
				}
			}
		}
	}
}

// inPlanes converts pixels as a JPEG encoder does: to YCbCr, with the mean of the chroma of each two by two.
func (p pixels) inPlanes() *image.YCbCr {
	m := image.NewYCbCr(image.Rect(0, 0, p.width, p.height), image.YCbCrSubsampleRatio420)
	for y := 0; y < p.height; y += 2 {
		for x := 0; x < p.width; x += 2 {
			cb, cr := 0, 0
			for i := range 4 {
				px, py := min(x+i%2, p.width-1), min(y+i/2, p.height-1)
				c := p.at(px, py)
				l, b, r := color.RGBToYCbCr(c.R, c.G, c.B)
				m.Y[m.YOffset(px, py)] = l
				cb, cr = cb+int(b), cr+int(r)
			}
			m.Cb[m.COffset(x, y)], m.Cr[m.COffset(x, y)] = uint8((cb+2)/4), uint8((cr+2)/4)
		}
	}
	return m
}

// compareMean fails where a channel of got differs from that of want by more than tolerance in the mean, or anywhere
// by more than most.
func compareMean(t *testing.T, got image.Image, want pixels, tolerance float64, most int) {
	t.Helper()
	if got.Bounds() != image.Rect(0, 0, want.width, want.height) {
		t.Fatalf("got bounds %v, want %d x %d", got.Bounds(), want.width, want.height)
	}
	at := straightPixels(got).at
	var sum [3]int
	for y := range want.height {
		for x := range want.width {
			g, w := at(x, y), want.at(x, y)
			for i, d := range [3]int{int(g.R) - int(w.R), int(g.G) - int(w.G), int(g.B) - int(w.B)} {
				sum[i] += max(d, -d)
				if max(d, -d) > most {
					t.Fatalf("pixel %d,%d is %v, want %v (tolerance %d)", x, y, g, w, most)
				}
			}
		}
	}
	for i, s := range sum {
		if mean := float64(s) / float64(want.width*want.height); mean > tolerance {
			t.Errorf("channel %d differs by %.2f in the mean, want at most %.2f", i, mean, tolerance)
		}
	}
}

// decoded returns the pixels that the encoder gets.
func decoded(t *testing.T, raw []byte) image.Image {
	t.Helper()
	m, err := sepia.Develop(context.Background(), raw)
	if err != nil {
		t.Fatalf("decode: %v", err)
	}
	return m
}
