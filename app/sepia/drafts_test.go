package sepia_test

import (
	"image"
	"image/color"
	"testing"

	"imagery/app/sepia"
)

// TestDraftMemory: no noise of a photo takes more for its drafts than the plan has.
func TestDraftMemory(t *testing.T) {
	const side = 256
	bit := func(x, y, c int) uint8 { return -uint8(noise8(x, y, c) >> 4 & 1) }
	for name, pixel := range map[string]func(x, y, c int) uint8{
		"levels": func(x, y, c int) uint8 { return uint8(noise8(x, y, c)) }, "colours": bit,
		"black and white": func(x, y, _ int) uint8 { return bit(x, y, 0) },
		"large":           func(x, y, c int) uint8 { return bit(x/2, y/2, c) },
	} {
		for _, ratio := range []image.YCbCrSubsampleRatio{image.YCbCrSubsampleRatio444, image.YCbCrSubsampleRatio420} {
			m := image.NewYCbCr(image.Rect(0, 0, side, side), ratio)
			for y := range side {
				for x := range side {
					at := m.COffset(x, y)
					m.Y[m.YOffset(x, y)], m.Cb[at], m.Cr[at] =
						color.RGBToYCbCr(pixel(x, y, 0), pixel(x, y, 1), pixel(x, y, 2))
				}
			}
			size, most := sepia.DraftSize(m), sepia.DraftMemory(side*side)
			t.Logf("%s, %v: %.2f bytes per pixel", name, ratio, float64(size)/(side*side))
			if int64(size) > most {
				t.Errorf("%s, %v: drafts of %d bytes, planned are %d", name, ratio, size, most)
			}
		}
	}
}
