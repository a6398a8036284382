package main

import (
	"image"
	"math"
	"testing"
)

// Worked out by hand: one of twelve samples differs by 2, so the mean square is 1/3.
func TestPSNR(t *testing.T) {
	a, b := image.NewRGBA(image.Rect(0, 0, 2, 2)), image.NewRGBA(image.Rect(0, 0, 2, 2))
	if db, err := psnr(a, b); err != nil || !math.IsInf(db, 1) {
		t.Errorf("equal pictures: %v, %v", db, err)
	}
	b.Pix[5], b.Pix[7] = 2, 99 // alpha does not count
	if db, err := psnr(a, b); err != nil || math.Abs(db-10*math.Log10(255*255*3)) > 1e-9 {
		t.Errorf("%v, %v", db, err)
	}
	if _, err := psnr(a, image.NewRGBA(image.Rect(0, 0, 2, 1))); err == nil {
		t.Error("pictures of different sizes are compared")
	}
}

// TestDeepened: the 8 upper bits are the picture's, the 4 below them vary, and the picture stays opaque.
func TestDeepened(t *testing.T) {
	from := landscape(60, 40)
	to := deepened(from)
	lows := map[uint8]bool{}
	for i, v := range from.Pix {
		if to.Pix[2*i] != v {
			t.Fatalf("sample %d is %d, want %d", i, to.Pix[2*i], v)
		}
		if i%4 < 3 {
			lows[to.Pix[2*i+1]] = true
		}
	}
	if len(lows) != 16 || !to.Opaque() {
		t.Errorf("%d values of the lower byte, opaque %t", len(lows), to.Opaque())
	}
}
