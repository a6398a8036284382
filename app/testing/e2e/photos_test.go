package e2e

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"math"
	"math/rand/v2"
	"testing"
)

// photo is a file to upload, with the expected state of its image.
type photo struct {
	name  string
	body  []byte
	state string // processed or failed
}

// scene draws a smooth picture with some detail, different for each seed.
func scene(seed uint64, width, height int) *image.NRGBA {
	m := image.NewNRGBA(image.Rect(0, 0, width, height))
	r := rand.New(rand.NewPCG(seed, 1))
	a, b, c := 1+r.Float64()*9, 1+r.Float64()*9, r.Float64()*6
	for y := range height {
		for x := range width {
			u, v := float64(x)/float64(width), float64(y)/float64(height)
			m.SetNRGBA(x, y, color.NRGBA{
				R: uint8(127 + 120*math.Sin(a*u+c)), G: uint8(127 + 120*math.Sin(b*v)),
				B: uint8(127 + 120*math.Sin(a*u*v+b)), A: 255})
		}
	}
	return m
}

// noisy adds noise, so that a picture takes long to encode.
func noisy(m *image.NRGBA, seed uint64) *image.NRGBA {
	r := rand.New(rand.NewPCG(seed, 2))
	for i := range m.Pix {
		if i%4 != 3 {
			m.Pix[i] += uint8(r.IntN(8))
		}
	}
	return m
}

func encodeJPEG(t testing.TB, m image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 85}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodePNG(t testing.TB, m image.Image) []byte {
	var b bytes.Buffer
	enc := png.Encoder{CompressionLevel: png.BestSpeed}
	if err := enc.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func encodeGIF(t testing.TB, m image.Image) []byte {
	var b bytes.Buffer
	if err := gif.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// photos makes n photos of all kinds: most are valid, some are truncated behind a valid header, a few are large.
func photos(t testing.TB, n int) []photo {
	var list []photo
	for i := range n {
		seed := uint64(i)
		var p photo
		switch i % 8 {
		case 0:
			p = photo{"jpeg", encodeJPEG(t, scene(seed, 1200+i, 900)), "processed"}
		case 1:
			p = photo{"png", encodePNG(t, scene(seed, 400+i, 300)), "processed"}
		case 2:
			m := scene(seed, 300+i, 200)
			for j := 3; j < len(m.Pix); j += 4 {
				m.Pix[j] = uint8(j / 4)
			}
			p = photo{"png with alpha", encodePNG(t, m), "processed"}
		case 3:
			g := image.NewGray(image.Rect(0, 0, 500+i, 400))
			for j := range g.Pix {
				g.Pix[j] = uint8(j / 300)
			}
			p = photo{"grey jpeg", encodeJPEG(t, g), "processed"}
		case 4:
			p = photo{"gif", encodeGIF(t, scene(seed, 200+i, 150)), "processed"}
		case 5:
			good := encodeJPEG(t, scene(seed, 640+i, 480))
			p = photo{"broken jpeg", good[:len(good)/4], "failed"}
		case 6:
			p = photo{"large png", encodePNG(t, noisy(scene(seed, 2400+i, 1800), seed)), "processed"}
		case 7:
			p = photo{"large jpeg", encodeJPEG(t, noisy(scene(seed, 3600+i, 2400), seed)), "processed"}
		}
		list = append(list, p)
	}
	return list
}

// expectedSepia computes the filter for one pixel from its description, with no code of the product.
func expectedSepia(c color.NRGBA) color.NRGBA {
	canvas := func(v float64) float64 { return math.RoundToEven(min(max(v, 0), 255)) }
	r, g, b := canvas(float64(c.R)+25), canvas(float64(c.G)+25), canvas(float64(c.B)+25)
	contrast := func(v float64) float64 { return canvas(float64((float64((v/255-0.5)*(1.3*1.3)))+0.5) * 255) }
	r, g, b = contrast(r), contrast(g), contrast(b)
	const a = 0.6
	r = min(255, float64(r*(1-0.607*a))+float64(g*(0.769*a))+float64(b*(0.189*a)))
	g = min(255, float64(r*(0.349*a))+float64(g*(1-0.314*a))+float64(b*(0.168*a)))
	b = min(255, float64(r*(0.272*a))+float64(g*(0.534*a))+float64(b*(1-0.869*a)))
	r, g, b = canvas(r), canvas(g), canvas(b)
	m := max(r, g, b)
	fade := func(v float64) uint8 { return uint8(canvas(v + (m-v)*0.3)) }
	return color.NRGBA{fade(r), fade(g), fade(b), c.A}
}

// difference returns the mean absolute difference between a result and the sepia filter of its original, over all
// channels, and the largest one. JPEG results lose a little by encoding.
func difference(t testing.TB, original, result []byte) (mean float64, most int) {
	t.Helper()
	in, _, err := image.Decode(bytes.NewReader(original))
	if err != nil {
		t.Fatal(err)
	}
	out, _, err := image.Decode(bytes.NewReader(result))
	if err != nil {
		t.Fatalf("the result cannot be decoded: %v", err)
	}
	if in.Bounds().Size() != out.Bounds().Size() {
		t.Fatalf("the result is %v large, the original %v", out.Bounds().Size(), in.Bounds().Size())
	}
	sum, n := 0, 0
	bounds := in.Bounds()
	step := max(1, bounds.Dx()*bounds.Dy()/40000) // enough of a large photo
	for i := 0; i < bounds.Dx()*bounds.Dy(); i += step {
		x, y := i%bounds.Dx(), i/bounds.Dx()
		want := expectedSepia(color.NRGBAModel.Convert(in.At(bounds.Min.X+x, bounds.Min.Y+y)).(color.NRGBA))
		got := color.NRGBAModel.Convert(out.At(out.Bounds().Min.X+x, out.Bounds().Min.Y+y)).(color.NRGBA)
		if want.A == 0 && got.A == 0 {
			continue // colours behind full transparency do not survive Go's own conversion
		}
		for _, d := range []int{int(want.R) - int(got.R), int(want.G) - int(got.G), int(want.B) - int(got.B),
			int(want.A) - int(got.A)} {
			if d < 0 {
				d = -d
			}
			sum, n, most = sum+d, n+1, max(most, d)
		}
	}
	return float64(sum) / float64(n), most
}
