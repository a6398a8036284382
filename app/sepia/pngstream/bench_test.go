package pngstream_test

import (
	"bytes"
	"image"
	"image/color"
	"image/color/palette"
	"image/draw"
	"image/jpeg"
	"image/png"
	"math"
	"os"
	"slices"
	"syscall"
	"testing"

	"imagery/app/sepia/pngstream"
)

// BenchmarkReader compares with image/png in one run, pair by pair, in CPU time. It reports the median of the ratios;
// ms is the time of the reader. IMAGERY_PHOTO names a JPEG to use.
//
//	IMAGERY_PHOTO=photo.jpg go test -run '^$' -bench Reader -benchtime 9x -cpu 1 ./app/sepia/pngstream
func BenchmarkReader(b *testing.B) {
	m := photo(b)
	for _, c := range []struct {
		name  string
		photo draw.Image
	}{
		{"RGB", image.NewRGBA(m.Bounds())},
		{"RGBA", image.NewNRGBA(m.Bounds())},
		{"RGB16", image.NewRGBA64(m.Bounds())},
		{"palette", image.NewPaletted(m.Bounds(), palette.Plan9)},
		{"grey", image.NewGray(m.Bounds())},
	} {
		b.Run(c.name, func(b *testing.B) {
			draw.Draw(c.photo, c.photo.Bounds(), m, image.Point{}, draw.Src)
			if c.name == "RGBA" {
				c.photo.Set(0, 0, color.NRGBA{})
			}
			var raw bytes.Buffer
			if err := png.Encode(&raw, c.photo); err != nil {
				b.Fatal(err)
			}
			var ratios, times []float64
			b.ResetTimer()
			for range b.N {
				own := cpuTime(func() { drain(b, raw.Bytes()) })
				standard := cpuTime(func() { png.Decode(bytes.NewReader(raw.Bytes())) })
				ratios, times = append(ratios, own/standard), append(times, own)
			}
			slices.Sort(ratios)
			slices.Sort(times)
			b.ReportMetric(ratios[b.N/2], "of-standard")
			b.ReportMetric(times[b.N/2], "ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func drain(b *testing.B, raw []byte) {
	r, err := pngstream.NewReader(bytes.NewReader(raw))
	if err != nil {
		b.Fatal(err)
	}
	for range r.Height() {
		if _, err := r.Row(); err != nil {
			b.Fatal(err)
		}
	}
}

// photo returns the photo of IMAGERY_PHOTO, or a picture of two megapixels with waves and grain.
func photo(b *testing.B) image.Image {
	if path := os.Getenv("IMAGERY_PHOTO"); path != "" {
		raw, err := os.ReadFile(path)
		if err != nil {
			b.Fatal(err)
		}
		m, err := jpeg.Decode(bytes.NewReader(raw))
		if err != nil {
			b.Fatal(err)
		}
		return m
	}
	m := image.NewRGBA(image.Rect(0, 0, 1600, 1250))
	for i := range m.Pix {
		x, y, c := float64(i/4%1600), float64(i/4/1600), float64(i%4)
		grain := uint8(uint32(i)*2654435761>>28) & 7
		m.Pix[i] = uint8(120+60*math.Sin(x/90+c)+40*math.Cos(y/70-c)) + grain
		if i%4 == 3 {
			m.Pix[i] = 255
		}
	}
	return m
}

// cpuTime returns the CPU time of f in milliseconds.
func cpuTime(f func()) float64 {
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	f()
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	return float64(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano()) / 1e6
}
