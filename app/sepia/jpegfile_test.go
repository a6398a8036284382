package sepia_test

import (
	"math"
)

// jpegFile writes JPEGs of every kind that Go decodes, which image/jpeg does not: all samplings, one, three and four
// components, progressive. Quantization is 1 and every Huffman code has the same length, so that it stays short.
type jpegFile struct {
	width, height int
	components    []jpegPlane
	progressive   bool
	segments      [][]byte // put in behind the SOI marker, see jpegSegment
	extraScans    int      // empty scans added at the end, of a progressive one
}

// jpegPlane is one component. A nil sample means mid-grey, without any cost.
type jpegPlane struct {
	id, h, v byte
	sample   func(x, y int) uint8 // at the coordinates of the picture
}

func jpegSegment(marker byte, body ...byte) []byte {
	n := len(body) + 2
	return append([]byte{0xff, marker, byte(n >> 8), byte(n)}, body...)
}

var zigzag = [64]int{0, 1, 8, 16, 9, 2, 3, 10, 17, 24, 32, 25, 18, 11, 4, 5, 12, 19, 26, 33, 40, 48, 41, 34, 27, 20, 13,
	6, 7, 14, 21, 28, 35, 42, 49, 56, 57, 50, 43, 36, 29, 22, 15, 23, 30, 37, 44, 51, 58, 59, 52, 45, 38, 31, 39, 46, 53,
	60, 61, 54, 47, 55, 62, 63}

func (f jpegFile) bytes() []byte {
	out := []byte{0xff, 0xd8}
	for _, s := range f.segments {
		out = append(out, s...)
	}
	ones := make([]byte, 65)
	for i := 1; i < 65; i++ {
		ones[i] = 1
	}
	out = append(out, jpegSegment(0xdb, ones...)...)
	sof := []byte{8, byte(f.height >> 8), byte(f.height), byte(f.width >> 8), byte(f.width), byte(len(f.components))}
	for _, c := range f.components {
		sof = append(sof, c.id, c.h<<4|c.v, 0)
	}
	marker := byte(0xc0)
	if f.progressive {
		marker = 0xc2
	}
	out = append(out, jpegSegment(marker, sof...)...)
	// DC: 12 codes of 4 bits. AC: 255 codes of 8 bits, the symbol being the code.
	dc := append([]byte{0x00, 0, 0, 0, 12}, make([]byte, 12)...)
	ac := append([]byte{0x10, 0, 0, 0, 0, 0, 0, 0, 255}, make([]byte, 8)...)
	for i := range 255 {
		if i < 12 {
			dc = append(dc, byte(i))
		}
		ac = append(ac, byte(i))
	}
	out = append(out, jpegSegment(0xc4, dc...)...)
	out = append(out, jpegSegment(0xc4, ac...)...)
	all := make([]int, len(f.components))
	for i := range all {
		all[i] = i
	}
	if !f.progressive {
		out = f.scan(out, all, 0, 63)
	} else {
		out = f.scan(out, all, 0, 0)
		for i := range all {
			if f.components[i].sample != nil {
				out = f.scan(out, []int{i}, 1, 63)
			}
		}
		for range f.extraScans {
			out = append(append(out, jpegSegment(0xda, 1, f.components[0].id, 0, 1, 63, 0)...), 0xe0, 0)
		}
	}
	return append(out, 0xff, 0xd9)
}

// scan writes the coefficients from..to of some components: interleaved, or of one in its own order of blocks.
func (f jpegFile) scan(out []byte, comps []int, from, to int) []byte {
	sos := []byte{byte(len(comps))}
	for _, i := range comps {
		sos = append(sos, f.components[i].id, 0)
	}
	out = append(out, jpegSegment(0xda, append(sos, byte(from), byte(to), 0)...)...)
	w := &bitWriter{out: out}
	last := make([]int, len(f.components))
	hmax, vmax := int(f.components[0].h), int(f.components[0].v)
	if len(f.components) == 1 {
		hmax, vmax = 1, 1
	}
	if len(comps) == 1 {
		c := f.components[comps[0]]
		sx, sy := hmax, vmax
		if len(f.components) > 1 {
			sx, sy = hmax/int(c.h), vmax/int(c.v)
		}
		for y := 0; y < f.height; y += 8 * sy {
			for x := 0; x < f.width; x += 8 * sx {
				w.block(c.coefficients(x, y, sx, sy), &last[comps[0]], from, to)
			}
		}
		return w.flush()
	}
	for y := 0; y < f.height; y += 8 * vmax {
		for x := 0; x < f.width; x += 8 * hmax {
			for _, i := range comps {
				c := f.components[i]
				sx, sy := hmax/int(c.h), vmax/int(c.v)
				for b := range int(c.h) * int(c.v) {
					bx, by := x+8*sx*(b%int(c.h)), y+8*sy*(b/int(c.h))
					w.block(c.coefficients(bx, by, sx, sy), &last[i], from, to)
				}
			}
		}
	}
	return w.flush()
}

// coefficients transforms the block at x, y, whose samples lie sx and sy pixels apart; nil for mid-grey.
func (c jpegPlane) coefficients(x, y, sx, sy int) *[64]int {
	if c.sample == nil {
		return nil
	}
	var s [64]float64
	for i := range s {
		s[i] = float64(c.sample(x+i%8*sx, y+i/8*sy)) - 128
	}
	var out [64]int
	for k, z := range zigzag {
		u, v, sum := z%8, z/8, 0.0
		for i, f := range s {
			sum += f * cosines[i%8][u] * cosines[i/8][v]
		}
		out[k] = int(math.Round(sum / 4))
	}
	return &out
}

var cosines = func() (t [8][8]float64) {
	for x := range 8 {
		for u := range 8 {
			t[x][u] = math.Cos(float64(2*x+1) * float64(u) * math.Pi / 16)
			if u == 0 {
				t[x][u] = math.Sqrt2 / 2
			}
		}
	}
	return t
}()

// bitWriter writes bits, most significant first, with a zero stuffed behind each 0xff.
type bitWriter struct {
	out  []byte
	bits uint32
	n    int
}

func (w *bitWriter) write(v uint32, n int) {
	w.bits, w.n = w.bits<<n|v, w.n+n
	for ; w.n >= 8; w.n -= 8 {
		b := byte(w.bits >> (w.n - 8))
		if w.out = append(w.out, b); b == 0xff {
			w.out = append(w.out, 0)
		}
	}
}

func (w *bitWriter) flush() []byte {
	if w.n > 0 {
		w.write(1<<(8-w.n)-1, 8-w.n)
	}
	return w.out
}

// number writes the amplitude part of a value of that many bits.
func (w *bitWriter) number(v, bits int) {
	if v < 0 {
		v += 1<<bits - 1
	}
	w.write(uint32(v), bits)
}

func size(v int) (bits int) {
	for v = max(v, -v); v > 0; v >>= 1 {
		bits++
	}
	return bits
}

func (w *bitWriter) block(c *[64]int, last *int, from, to int) {
	if c == nil {
		c = &[64]int{}
	}
	if from == 0 {
		d := c[0] - *last
		*last = c[0]
		w.write(uint32(size(d)), 4)
		w.number(d, size(d))
		from++
	}
	zeros := 0
	for k := from; k <= to; k++ {
		if c[k] == 0 {
			zeros++
			continue
		}
		for ; zeros > 15; zeros -= 16 {
			w.write(0xf0, 8)
		}
		w.write(uint32(zeros<<4|size(c[k])), 8)
		w.number(c[k], size(c[k]))
		zeros = 0
	}
	if zeros > 0 && from <= to {
		w.write(0x00, 8) // end of block
	}
}
