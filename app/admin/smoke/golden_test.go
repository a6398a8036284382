package smoke

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"testing"
)

// sepia is an independent implementation of the filter from its definition, in the order in which the original
// application's page applies it. Each step is rounded as a canvas rounds it.
func sepia(c color.NRGBA) color.NRGBA {
	store := func(v float64) float64 { return math.RoundToEven(math.Max(0, math.Min(255, v))) }
	v := [3]float64{float64(c.R), float64(c.G), float64(c.B)}
	square := 1.3
	square = float64(square * square)
	for i := range v {
		v[i] = store(v[i] + 25)
		v[i] = store(float64((float64((v[i]/255-0.5)*square) + 0.5) * 255))
	}
	s := 0.6
	share := func(v, w float64) float64 { return float64(v * float64(w*s)) }
	keep := func(v, w float64) float64 { return float64(v * (1 - float64(w*s))) }
	r := math.Min(255, keep(v[0], 0.607)+share(v[1], 0.769)+share(v[2], 0.189))
	g := math.Min(255, share(r, 0.349)+keep(v[1], 0.314)+share(v[2], 0.168))
	b := math.Min(255, share(r, 0.272)+share(g, 0.534)+keep(v[2], 0.869))
	v = [3]float64{store(r), store(g), store(b)}
	most := math.Max(v[0], math.Max(v[1], v[2]))
	for i := range v {
		v[i] = store(v[i] + float64((most-v[i])*0.3))
	}
	return color.NRGBA{uint8(v[0]), uint8(v[1]), uint8(v[2]), c.A}
}

// standing returns the phone's picture rotated upright: its orientation is 6, so the stored image lies on its side.
func standing(t *testing.T) image.Image {
	data, err := pictures.ReadFile("pictures/" + phone.name)
	if err != nil {
		t.Fatal(err)
	}
	m, err := jpeg.Decode(bytes.NewReader(data))
	if err != nil {
		t.Fatal(err)
	}
	flat := image.NewNRGBA(m.Bounds())
	draw.Draw(flat, flat.Rect, m, image.Point{}, draw.Src)
	upright := image.NewNRGBA(image.Rect(0, 0, flat.Rect.Dy(), flat.Rect.Dx()))
	for y := range upright.Rect.Dy() {
		for x := range upright.Rect.Dx() {
			upright.Set(x, y, flat.At(y, flat.Rect.Dy()-1-x))
		}
	}
	return upright
}

// TestGoldenPictures checks the golden pictures against an independent implementation of the filter.
func TestGoldenPictures(t *testing.T) {
	open := func(name string) image.Image {
		data, err := pictures.ReadFile("pictures/" + name)
		if err != nil {
			t.Fatal(err)
		}
		m, err := png.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	for _, c := range []struct {
		name  string
		from  image.Image
		to    image.Image
		mean  float64
		worst int
	}{
		{"lake", open(lake.name), open(lake.golden), 0, 0},
		// Two JPEG decoders differ by a level or two before the filter, which more than doubles contrast.
		{"phone", standing(t), open(phone.golden), 1, 12},
	} {
		own := image.NewNRGBA(c.from.Bounds())
		for y := range own.Rect.Dy() {
			for x := range own.Rect.Dx() {
				own.SetNRGBA(x, y, sepia(color.NRGBAModel.Convert(c.from.At(x, y)).(color.NRGBA)))
			}
		}
		if mean, worst := difference(own, c.to); mean > c.mean || worst > c.worst {
			t.Errorf("%s: mean %.2f, worst %d", c.name, mean, worst)
		}
	}
}
