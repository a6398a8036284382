package icc_test

import (
	"bytes"
	_ "embed"
	"encoding/hex"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"imagery/app/sepia/icc"
)

//go:embed testdata/golden.txt
var golden string

// profiles returns a profile of each kind, and how far its colours may be from LittleCMS's: one level for curves and
// matrices, three for tables.
func profiles() map[string]struct {
	data []byte
	most int
} {
	type entry = struct {
		data []byte
		most int
	}
	gamma := func(g float64) func(float64) float64 { return func(x float64) float64 { return math.Pow(x, g) } }
	raised := func(x float64) float64 { return 0.02 + 0.98*x*x } // black is not 0
	lut := func(class, space, pcs string, tags ...tag) entry {
		return entry{buildProfile(class, space, pcs, tags...), 3}
	}
	matrix := rgbTags(p3Colourants, srgbCurve)
	return map[string]entry{
		"display-p3":      {rgbProfile(p3Colourants, srgbCurve), 1},
		"adobe-rgb":       {rgbProfile(adobeColourants, curv(0x0233)), 1},
		"prophoto":        {rgbProfile(prophotoColourants, para(0, 1.8)), 1},
		"rec2020":         {rgbProfile(rec2020Colourants, sampled(1024, gamma(2.4))), 1},
		"linear":          {rgbProfile(p3Colourants, curv()), 1},
		"para1":           {rgbProfile(p3Colourants, para(1, 2, 1.1, -0.1)), 1},
		"para2":           {rgbProfile(p3Colourants, para(2, 2, 0.9, -0.1, 0.05)), 1},
		"para4":           {rgbProfile(p3Colourants, para(4, 2.4, 0.9, 0.1, 0.1, 0.05, 0, 0)), 1},
		"raised-black":    {rgbProfile(adobeColourants, sampled(256, raised)), 1},
		"grey-gamma":      {buildProfile("mntr", "GRAY", "XYZ ", tag{"kTRC", curv(0x01cd)}), 1},
		"grey-lab":        {buildProfile("mntr", "GRAY", "Lab ", tag{"kTRC", sampled(64, gamma(0.8))}), 1},
		"rgb-mft2-lab":    lut("prtr", "RGB ", "Lab ", tag{"A2B0", mft2(3, 9, rgbToLab)}),
		"rgb-mft2-a2b1":   lut("scnr", "RGB ", "Lab ", tag{"A2B0", mft1(3, 3, swapped)}, tag{"A2B1", mft2(3, 17, rgbToLab)}),
		"rgb-mft1-lab":    lut("scnr", "RGB ", "Lab ", tag{"A2B0", mft1(3, 9, rgbToLab)}),
		"rgb-mab-lab":     lut("mntr", "RGB ", "Lab ", tag{"A2B1", mab(3, 9, rgbToLab)}),
		"cmyk-mft1":       lut("prtr", "CMYK", "Lab ", cmykTags(mft1)...),
		"cmyk-mft2":       lut("prtr", "CMYK", "Lab ", cmykTags(mft2)...),
		"cmyk-scanner":    lut("scnr", "CMYK", "Lab ", cmykTags(mft2)...),
		"cmyk-no-b2a":     lut("prtr", "CMYK", "Lab ", tag{"A2B0", mft1(4, 5, cmykToLab)}),
		"cmyk-mab":        lut("prtr", "CMYK", "Lab ", tag{"A2B0", mab(4, 5, cmykToLab)}),
		"grey-table":      lut("prtr", "GRAY", "Lab ", tag{"A2B0", mft2(1, 33, greyToLab)}),
		"rgb-matrix-also": lut("mntr", "RGB ", "Lab ", append(matrix, tag{"A2B0", mft2(3, 9, rgbToLab)})...),
	}
}

// TestGolden compares colours with those of LittleCMS. With the variable PROFILES it writes the profiles to that
// folder, for testdata/golden.py.
func TestGolden(t *testing.T) {
	if folder := os.Getenv("PROFILES"); folder != "" {
		if err := os.MkdirAll(folder, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, p := range profiles() {
			if err := os.WriteFile(filepath.Join(folder, name+".icc"), p.data, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	left := profiles()
	for line := range strings.Lines(golden) {
		fields := strings.Fields(line)
		name := fields[0]
		p, ok := left[name]
		if !ok {
			t.Fatalf("no profile is called %s", name)
		}
		delete(left, name)
		channels, _ := strconv.Atoi(fields[1])
		src, want := unhex(t, fields[2]), unhex(t, fields[3])
		tr, err := icc.Parse(p.data)
		if err != nil || tr == nil || tr.Channels() != channels {
			t.Fatalf("%s: got %v, %v", name, tr, err)
		}
		got := make([]byte, len(want))
		tr.Convert(got, src)
		compare(t, name, got, want, p.most)
		if channels >= 3 {
			tr.Convert(src, src)
			if !bytes.Equal(src[:len(want)], got) {
				t.Errorf("%s: other colours in place", name)
			}
		}
		src = unhex(t, fields[2])
		wide := make([]byte, 0, 2*len(src))
		for _, v := range src {
			wide = append(wide, v, v)
		}
		again := make([]byte, len(want))
		tr.Convert16(again, wide)
		compare(t, name+" of 16 bits", again, got, 1)
	}
	for name := range left {
		t.Errorf("testdata/golden.txt has no colours of %s", name)
	}
}

// compare fails if a value is more than most away, or one in ten on average for most of 1.
func compare(t *testing.T, name string, got, want []byte, most int) {
	t.Helper()
	worst, sum := 0, 0
	for i := range got {
		d := int(got[i]) - int(want[i])
		d = max(d, -d)
		worst, sum = max(worst, d), sum+d
	}
	mean := float64(sum) / float64(len(got))
	t.Logf("%s: at most %d, mean %.3f", name, worst, mean)
	if len(got) == 0 || worst > most || mean > 0.3 {
		t.Errorf("%s: at most %d, mean %.3f, want %d and 0.3", name, worst, mean, most)
	}
}

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}
