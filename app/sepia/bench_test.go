package sepia_test

import (
	"bytes"
	"image"
	"image/draw"
	"image/jpeg"
	"image/png"
	"slices"
	"testing"

	"imagery/app/sepia"
)

// BenchmarkApply develops a picture of 6 megapixels with the detail of a photo.
func BenchmarkApply(b *testing.B) {
	asJPEG := photoLike(b, 3000, 2000)
	m, err := jpeg.Decode(bytes.NewReader(asJPEG))
	if err != nil {
		b.Fatal(err)
	}
	rgba := image.NewRGBA(m.Bounds())
	draw.Draw(rgba, rgba.Rect, m, image.Point{}, draw.Src)
	var asPNG bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&asPNG, rgba); err != nil {
		b.Fatal(err)
	}
	turned := withSegment(asJPEG, exifSegment(6))
	for _, c := range []struct {
		name string
		raw  []byte
	}{{"JPEG", asJPEG}, {"JPEG turned", turned}, {"PNG", asPNG.Bytes()}} {
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
	raw := jpegFile{width: 1600, height: 1200, components: []jpegPlane{{1, 1, 1, func(x, y int) uint8 { return uint8(noise8(x, y, 0)) }}}}.bytes()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := sepia.Inspect(bytes.NewReader(raw), 0); err != nil {
			b.Fatal(err)
		}
	}
}
