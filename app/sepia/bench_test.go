package sepia_test

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"testing"

	"imagery/app/sepia"
)

// BenchmarkApply develops a picture of 6 megapixels with the detail of a photo.
func BenchmarkApply(b *testing.B) {
	m := image.NewRGBA(image.Rect(0, 0, 3000, 2000))
	for i := range m.Pix {
		x, y, c := i/4%3000, i/4/3000, i%4
		m.Pix[i] = uint8(int(wave(c)(x/9, y/7)) + int(noise8(x, y, c)>>5))
		if c == 3 {
			m.Pix[i] = 255
		}
	}
	var asJPEG, asPNG bytes.Buffer
	if err := jpeg.Encode(&asJPEG, m, &jpeg.Options{Quality: 90}); err != nil {
		b.Fatal(err)
	}
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&asPNG, m); err != nil {
		b.Fatal(err)
	}
	turned := append(append([]byte{0xff, 0xd8}, exifSegment(6)...), asJPEG.Bytes()[2:]...)
	for _, c := range []struct {
		name string
		raw  []byte
	}{{"JPEG", asJPEG.Bytes()}, {"JPEG turned", turned}, {"PNG", asPNG.Bytes()}} {
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
