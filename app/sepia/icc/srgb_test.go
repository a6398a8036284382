package icc_test

import (
	"math"
	"testing"

	"imagery/app/sepia/icc"
)

// TestSRGBIsNil reads the profiles of sRGB that programs embed: their pixels stay as they are.
func TestSRGBIsNil(t *testing.T) {
	curve := func(x float64) float64 {
		if x <= 0.04045 {
			return x / 12.92
		}
		return math.Pow((x+0.055)/1.055, 2.4)
	}
	// the 26 entries of the profile named c2, which Facebook and others embed
	tiny := curv(0x0000, 0x00cb, 0x01c9, 0x0363, 0x0592, 0x086b, 0x0bf6, 0x103f, 0x1551, 0x1b34, 0x21f1, 0x2990, 0x3218,
		0x3b92, 0x4605, 0x5177, 0x5ded, 0x6b70, 0x7a05, 0x89b1, 0x9a7c, 0xac69, 0xbf7d, 0xd3c3, 0xe930, 0xffff)
	rounded := [9]float64{0.4361, 0.3851, 0.1431, 0.2225, 0.7169, 0.0606, 0.0139, 0.0971, 0.7141}
	for name, profile := range map[string][]byte{
		"parametric":      rgbProfile(srgbColourants, srgbCurve),
		"1024 entries":    rgbProfile(srgbColourants, sampled(1024, curve)),
		"4096 entries":    rgbProfile(srgbColourants, sampled(4096, curve)),
		"c2":              rgbProfile(srgbColourants, tiny),
		"other rounding":  rgbProfile(rounded, srgbCurve),
		"grey, XYZ":       buildProfile("mntr", "GRAY", "XYZ ", tag{"kTRC", srgbCurve}),
		"kind 4 of curve": rgbProfile(srgbColourants, para(4, 2.4, 1/1.055, 0.055/1.055, 1/12.92, 0.04045, 0, 0)),
	} {
		if tr, err := icc.Parse(profile); tr != nil || err != nil {
			t.Errorf("%s: got %v, %v, want nil", name, tr, err)
		}
	}
	for name, profile := range map[string][]byte{
		"gamma 2.2":  rgbProfile(srgbColourants, para(0, 2.2)),
		"Display P3": rgbProfile(p3Colourants, srgbCurve),
		"Adobe RGB":  rgbProfile(adobeColourants, curv(0x0233)),
		"grey 2.2":   buildProfile("mntr", "GRAY", "XYZ ", tag{"kTRC", curv(0x0233)}),
	} {
		if tr, err := icc.Parse(profile); tr == nil || err != nil {
			t.Errorf("%s: got %v, %v, want a transform", name, tr, err)
		}
	}
}
