package jfif_test

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"math"
	"testing"

	"imagery/app/sepia/jfif"
)

// picture fills 4:2:0 planes of that size, padded to whole MCUs as an encoder pads them: with their last samples.
func picture(width, height int, sample func(x, y, plane int) uint8) *image.YCbCr {
	m := image.NewYCbCr(image.Rect(0, 0, (width+15)&^15, (height+15)&^15), image.YCbCrSubsampleRatio420)
	for y := range m.Rect.Max.Y {
		for x := range m.Rect.Max.X {
			m.Y[y*m.YStride+x] = sample(min(x, width-1), min(y, height-1), 0)
		}
	}
	for y := range m.Rect.Max.Y / 2 {
		for x := range m.Rect.Max.X / 2 {
			cx, cy := min(x, (width-1)/2), min(y, (height-1)/2)
			m.Cb[y*m.CStride+x], m.Cr[y*m.CStride+x] = sample(2*cx, 2*cy, 1), sample(2*cx, 2*cy, 2)
		}
	}
	return m.SubImage(image.Rect(0, 0, width, height)).(*image.YCbCr)
}

// hash is a sample of white noise (splitmix64).
func hash(x, y, plane int) uint8 {
	v := uint64(plane<<48|y<<24|x) * 0x9e3779b97f4a7c15
	v = (v ^ v>>30) * 0xbf58476d1ce4e5b9
	v = (v ^ v>>27) * 0x94d049bb133111eb
	return uint8(v >> 40)
}

// samples are planes that resemble photos, and planes that do not.
var samples = map[string]func(x, y, plane int) uint8{
	"detail": func(x, y, plane int) uint8 {
		v := 128 + 60*math.Sin(float64(x)/(7+3*float64(plane))) + 50*math.Cos(float64(x+3*y)/23)
		return uint8(v + float64(hash(x, y, plane)>>5))
	},
	"smooth": func(x, y, plane int) uint8 { return uint8(40 + x/3 + y/4 + 30*plane) },
	"noise":  hash,
	"flat":   func(x, y, plane int) uint8 { return uint8(200 - 30*plane) },
	"edges":  func(x, y, plane int) uint8 { return uint8(-(x/5 + y/3 + plane) & 1) },
}

// drafts encodes strip by strip, as a caller does: in any order.
func drafts(e *jfif.Encoder, m *image.YCbCr) (drafts [][]byte, counts *jfif.Counts) {
	rows, counts := jfif.StripHeight(m.Rect.Dx()), new(jfif.Counts)
	drafts = make([][]byte, (m.Rect.Dy()+rows-1)/rows)
	for i := len(drafts) - 1; i >= 0; i-- {
		var of jfif.Counts
		drafts[i] = e.Draft(nil, rowsOf(m, i*rows, rows), &of)
		counts.Add(&of)
	}
	return drafts, counts
}

// encode encodes with the tables that are best for this picture.
func encode(e *jfif.Encoder, m *image.YCbCr) []byte {
	drafts, counts := drafts(e, m)
	var tables jfif.Tables
	tables.Reset(counts)
	return file(e, m, drafts, &tables)
}

// file returns the file of drafts.
func file(e *jfif.Encoder, m *image.YCbCr, drafts [][]byte, t *jfif.Tables) []byte {
	width, height := m.Rect.Dx(), m.Rect.Dy()
	out, rows := e.Header(nil, width, height, t), jfif.StripHeight(width)
	for i, draft := range drafts {
		mcus := (width + 15) / 16 * ((min(rows, height-i*rows) + 15) / 16)
		out = t.Strip(out, draft, mcus, i, i == len(drafts)-1)
	}
	return out
}

// rowsOf returns the planes from row y on, n rows of them, in whole MCUs.
func rowsOf(m *image.YCbCr, y, n int) *image.YCbCr {
	s := *m
	s.Rect = image.Rect(0, 0, (m.Rect.Dx()+15)&^15, (min(n, m.Rect.Dy()-y)+15)&^15)
	s.Y, s.Cb, s.Cr = m.Y[y*m.YStride:], m.Cb[y/2*m.CStride:], m.Cr[y/2*m.CStride:]
	return &s
}

// standard encodes the same planes with image/jpeg.
func standard(t testing.TB, m image.Image, quality int) []byte {
	t.Helper()
	var file bytes.Buffer
	if err := jpeg.Encode(&file, m, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

func decode(t testing.TB, file []byte) *image.YCbCr {
	t.Helper()
	m, err := jpeg.Decode(bytes.NewReader(file))
	if err != nil {
		t.Fatal(err)
	}
	return m.(*image.YCbCr)
}

// errorOf is the mean squared error of got over all three planes.
func errorOf(t testing.TB, got, want *image.YCbCr) float64 {
	t.Helper()
	if got.Rect != want.Rect || got.SubsampleRatio != want.SubsampleRatio {
		t.Fatalf("got %v %v, want %v %v", got.Rect, got.SubsampleRatio, want.Rect, want.SubsampleRatio)
	}
	sum, n := 0.0, 0
	add := func(a, b uint8) {
		d := float64(a) - float64(b)
		sum, n = sum+d*d, n+1
	}
	for y := range want.Rect.Dy() {
		for x := range want.Rect.Dx() {
			add(got.Y[got.YOffset(x, y)], want.Y[want.YOffset(x, y)])
			if x%2 == 0 && y%2 == 0 {
				add(got.Cb[got.COffset(x, y)], want.Cb[want.COffset(x, y)])
				add(got.Cr[got.COffset(x, y)], want.Cr[want.COffset(x, y)])
			}
		}
	}
	return sum / float64(n)
}

// compared holds the results of both encoders.
type compared struct {
	size, standardSize   float64 // bytes
	error, standardError float64 // squared, summed over the picture
}

func (c *compared) add(d compared) {
	c.size, c.standardSize = c.size+d.size, c.standardSize+d.standardSize
	c.error, c.standardError = c.error+d.error, c.standardError+d.standardError
}

// check fails where a file is larger by that share, or its PSNR is lower by so many decibels.
func (c compared) check(t testing.TB, larger, decibels float64) {
	t.Helper()
	if c.size > (1+larger)*c.standardSize {
		t.Errorf("%.0f bytes, image/jpeg makes %.0f", c.size, c.standardSize)
	}
	if loss := 10 * math.Log10(c.error/c.standardError); loss > decibels {
		t.Errorf("PSNR is %.2f dB below that of image/jpeg (squared errors %.0f and %.0f)", loss, c.error, c.standardError)
	}
}

func compareEncoders(t testing.TB, m *image.YCbCr, quality int) compared {
	t.Helper()
	own, std := encode(jfif.NewEncoder(quality), m), standard(t, m, quality)
	// Beside what rounding alone makes, which is all there is in flat pictures.
	const rounding = 0.02
	n := float64(m.Rect.Dx() * m.Rect.Dy())
	return compared{float64(len(own)), float64(len(std)),
		n * (errorOf(t, decode(t, own), m) + rounding), n * (errorOf(t, decode(t, std), m) + rounding)}
}

func TestEncoderIsAsGoodAsTheStandard(t *testing.T) {
	for name, sample := range samples {
		for _, quality := range []int{10, 50, 75, 90, 95} {
			t.Run(fmt.Sprintf("%s %d", name, quality), func(t *testing.T) {
				compareEncoders(t, picture(605, 403, sample), quality).check(t, 0, 0.3)
			})
		}
	}
}

// TestEncoderOfEverySize: a picture of a few blocks may be rounded to its disadvantage, all of them together not.
func TestEncoderOfEverySize(t *testing.T) {
	var all compared
	for width := 1; width <= 40; width++ {
		for height := 1; height <= 40; height++ {
			t.Run(fmt.Sprintf("%d x %d", width, height), func(t *testing.T) {
				c := compareEncoders(t, picture(width, height, samples["detail"]), 90)
				c.check(t, 0.05, 1)
				all.add(c)
			})
		}
	}
	all.check(t, 0.05, 0.05)
	for _, size := range [][2]int{{65535, 1}, {1, 65535}, {65535, 33}, {17, 4099}, {511, 65}, {512, 65}, {513, 65}} {
		t.Run(fmt.Sprintf("%d x %d", size[0], size[1]), func(t *testing.T) {
			compareEncoders(t, picture(size[0], size[1], samples["smooth"]), 90).check(t, 0.05, 0.3)
		})
	}
}

// TestEncoderAllocatesNothing: a caller that keeps its buffers pays for them once.
func TestEncoderAllocatesNothing(t *testing.T) {
	e, m := jfif.NewEncoder(90), picture(640, 16, samples["noise"])
	var draft, out []byte
	var counts jfif.Counts
	encode := func() { draft = e.Draft(draft[:0], m, &counts) }
	encode()
	var tables jfif.Tables
	tables.Reset(&counts)
	rewrite := func() { out = tables.Strip(out[:0], draft, 40, 0, true) }
	rewrite()
	for name, f := range map[string]func(){"encode": encode, "rewrite": rewrite} {
		if n := testing.AllocsPerRun(10, f); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// FuzzEncode puts any samples into three blocks across and two down.
func FuzzEncode(f *testing.F) {
	f.Add([]byte("\x00\xff"), uint8(90))
	f.Add([]byte("a picture of nothing at all, but of some letters"), uint8(1))
	f.Add([]byte{}, uint8(100))
	f.Fuzz(func(t *testing.T, pixels []byte, quality uint8) {
		m := picture(37, 21, func(x, y, plane int) uint8 {
			if len(pixels) == 0 {
				return 0
			}
			return pixels[(y*37+x+plane*777)%len(pixels)]
		})
		e := jfif.NewEncoder(1 + int(quality)%100)
		own := encode(e, m)
		// No coefficient is off by more than half a step, so neither is their mean square, nor that of the samples.
		const firstTable, secondTable = 7, 72
		bound := 0.0
		for _, table := range [][]byte{own[firstTable:][:64], own[secondTable:][:64]} {
			sum := 0.0
			for _, step := range table {
				sum += math.Pow(float64(step)/2+0.6, 2) / 64
			}
			bound = max(bound, sum)
		}
		is, was := errorOf(t, decode(t, own), m), errorOf(t, decode(t, standard(t, m, 1+int(quality)%100)), m)
		if is > bound+1 {
			t.Errorf("mean squared error %.2f, that of image/jpeg is %.2f, at most possible %.2f", is, was, bound)
		}
	})
}
