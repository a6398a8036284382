package sepia_test

import (
	"bytes"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"slices"
	"syscall"
	"testing"

	"imagery/app/sepia"
)

// BenchmarkApply processes a picture of 6 megapixels with the detail of a photo.
func BenchmarkApply(b *testing.B) {
	asJPEG := photoLike(b, 3000, 2000)
	m, err := jpeg.Decode(bytes.NewReader(asJPEG))
	if err != nil {
		b.Fatal(err)
	}
	turned := withSegment(asJPEG, exifSegment(6))
	for _, c := range []struct {
		name string
		raw  []byte
	}{{"JPEG", asJPEG}, {"JPEG turned", turned}, {"PNG", pngOf(b, m)}} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := (sepia.Filter{}).Apply(b.Context(), c.raw); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkParts compares with the standard library in one run, pair by pair, in CPU time, which a busy machine does
// not stretch. It reports medians of ratios; ms is the time of the part. IMAGERY_PHOTO names a JPEG to use.
//
//	IMAGERY_PHOTO=photo.jpg go test -run '^$' -bench Parts -benchtime 20x -cpu 1 ./app/sepia
func BenchmarkParts(b *testing.B) {
	raw := photoLike(b, 3000, 2000)
	if path := os.Getenv("IMAGERY_PHOTO"); path != "" {
		var err error
		if raw, err = os.ReadFile(path); err != nil {
			b.Fatal(err)
		}
	}
	m, err := jpeg.Decode(bytes.NewReader(raw))
	if err != nil {
		b.Fatal(err)
	}
	planes := m.(*image.YCbCr)
	asPNG := pngOf(b, m)
	for _, part := range []struct {
		name          string
		own, standard func()
	}{
		{"decode", func() { sepia.DecodeStrips(raw) }, func() { jpeg.Decode(bytes.NewReader(raw)) }},
		{"encode", func() { sepia.EncodeStrips(planes) },
			func() { jpeg.Encode(io.Discard, planes, &jpeg.Options{Quality: 90}) }},
		{"PNG", func() { sepia.Filter{}.Apply(b.Context(), asPNG) }, func() {
			m, _ := png.Decode(bytes.NewReader(asPNG))
			fastPNG.Encode(io.Discard, m)
		}},
		{"whole", func() { sepia.Filter{}.Apply(b.Context(), raw) }, func() {
			jpeg.Encode(io.Discard, exactly(b, raw), &jpeg.Options{Quality: 90})
		}},
	} {
		b.Run(part.name, func(b *testing.B) {
			var ratios, times []float64
			part.own()
			b.ResetTimer()
			for range b.N {
				own := cpuTime(part.own)
				ratios, times = append(ratios, own/cpuTime(part.standard)), append(times, own)
			}
			slices.Sort(ratios)
			slices.Sort(times)
			b.ReportMetric(ratios[b.N/2], "of-standard")
			b.ReportMetric(times[b.N/2], "ms")
			b.ReportMetric(0, "ns/op")
		})
	}
}

var fastPNG = png.Encoder{CompressionLevel: png.BestSpeed}

// pngOf returns an opaque picture as a PNG.
func pngOf(tb testing.TB, m image.Image) []byte {
	tb.Helper()
	rgba := image.NewRGBA(m.Bounds())
	draw.Draw(rgba, rgba.Rect, m, image.Point{}, draw.Src)
	var file bytes.Buffer
	if err := fastPNG.Encode(&file, rgba); err != nil {
		tb.Fatal(err)
	}
	return file.Bytes()
}

// cpuTime returns the CPU time of f in milliseconds.
func cpuTime(f func()) float64 {
	var before, after syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &before)
	f()
	syscall.Getrusage(syscall.RUSAGE_SELF, &after)
	return float64(after.Utime.Nano()+after.Stime.Nano()-before.Utime.Nano()-before.Stime.Nano()) / 1e6
}

// photoLike returns a baseline JPEG, 4:2:0, with the detail of a photo.
func photoLike(tb testing.TB, width, height int) []byte {
	tb.Helper()
	m := image.NewRGBA(image.Rect(0, 0, width, height))
	for i := range m.Pix {
		x, y, c := i/4%width, i/4/width, i%4
		m.Pix[i] = uint8(int(wave(c)(x/9, y/7)) + int(noise8(x, y, c)>>5))
		if c == 3 {
			m.Pix[i] = 255
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, m, &jpeg.Options{Quality: 90}); err != nil {
		tb.Fatal(err)
	}
	return file.Bytes()
}

// withSegment puts a segment in front of everything else in a JPEG.
func withSegment(raw, segment []byte) []byte {
	return slices.Concat(raw[:2], segment, raw[2:])
}

// BenchmarkTone is the filter alone, for each pixel of a smooth picture.
func BenchmarkTone(b *testing.B) {
	pix := make([]byte, 4<<20)
	for i := range pix {
		pix[i] = byte(i * 7 >> 3)
	}
	work := make([]byte, len(pix))
	b.SetBytes(int64(len(pix)))
	for b.Loop() {
		copy(work, pix)
		sepia.Tone(work)
	}
}

// BenchmarkInspect reads every marker of a JPEG of 3 MB.
func BenchmarkInspect(b *testing.B) {
	noise := func(x, y int) uint8 { return uint8(noise8(x, y, 0)) }
	raw := jpegFile{width: 1600, height: 1200, components: []jpegPlane{{1, 1, 1, noise}}}.bytes()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := sepia.Inspect(bytes.NewReader(raw), 0); err != nil {
			b.Fatal(err)
		}
	}
}
