package icc_test

import (
	"testing"

	"imagery/app/sepia/icc"
)

var (
	srgbChroma = [8]float64{0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06}
	p3Chroma   = [8]float64{0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06}
)

// TestTagsOfSRGB reads colour tags that count as sRGB.
func TestTagsOfSRGB(t *testing.T) {
	for _, tags := range [][2]uint16{{1, 13}, {1, 1}, {1, 6}, {1, 14}, {1, 15}, {2, 2}, {2, 13}, {1, 2}} {
		if tr, err := icc.CICP(tags[0], tags[1]); tr != nil || err != nil {
			t.Errorf("CICP %v: got %v, %v, want nil", tags, tr, err)
		}
	}
	almost := srgbChroma
	almost[2] += 0.0009
	for _, g := range []float64{0.45455, 0.4331, 0.4772, 0} {
		for _, chroma := range []*[8]float64{nil, &srgbChroma, &almost} {
			if tr, err := icc.Gamma(g, chroma); tr != nil || err != nil {
				t.Errorf("Gamma(%v, %v): got %v, %v, want nil", g, chroma, tr, err)
			}
		}
	}
}

// TestTags converts colours by their tags, to those that the definitions give.
func TestTags(t *testing.T) {
	gamma := func(g float64, chroma *[8]float64) func() (*icc.Transform, error) {
		return func() (*icc.Transform, error) { return icc.Gamma(g, chroma) }
	}
	cicp := func(p, c uint16) func() (*icc.Transform, error) {
		return func() (*icc.Transform, error) { return icc.CICP(p, c) }
	}
	for name, c := range map[string]struct {
		transform func() (*icc.Transform, error)
		src, want [3]byte
	}{
		"P3 red is out of gamut":  {cicp(12, 13), [3]byte{255, 0, 0}, [3]byte{255, 0, 0}},
		"sRGB red in P3":          {cicp(12, 13), [3]byte{234, 51, 35}, [3]byte{255, 1, 0}},
		"P3 grey":                 {cicp(12, 13), [3]byte{77, 77, 77}, [3]byte{77, 77, 77}},
		"BT.2020 grey":            {cicp(9, 14), [3]byte{200, 200, 200}, [3]byte{200, 200, 200}},
		"linear":                  {cicp(1, 8), [3]byte{55, 55, 55}, [3]byte{128, 128, 128}},
		"gamma 2.2":               {cicp(1, 4), [3]byte{16, 16, 16}, [3]byte{8, 8, 8}},
		"gamma 1":                 {gamma(1, nil), [3]byte{55, 55, 55}, [3]byte{128, 128, 128}},
		"gamma 1/1.8":             {gamma(0.55556, nil), [3]byte{128, 128, 128}, [3]byte{147, 147, 147}},
		"P3 by chunks":            {gamma(0.45455, &p3Chroma), [3]byte{255, 0, 0}, [3]byte{255, 0, 0}},
		"PQ black":                {cicp(9, 16), [3]byte{0, 0, 0}, [3]byte{0, 0, 0}},
		"PQ of 1000 cd and above": {cicp(9, 16), [3]byte{255, 255, 255}, [3]byte{255, 255, 255}},
		"HLG white":               {cicp(9, 18), [3]byte{255, 255, 255}, [3]byte{255, 255, 255}},
	} {
		tr, err := c.transform()
		if err != nil || tr == nil {
			t.Errorf("%s: got %v, %v", name, tr, err)
			continue
		}
		var got [3]byte
		tr.Convert(got[:], c.src[:])
		for i := range got {
			if d := int(got[i]) - int(c.want[i]); d < -1 || d > 1 {
				t.Errorf("%s: got %v, want %v", name, got, c.want)
				break
			}
		}
	}
}

// TestGreyStaysGrey converts all greys of spaces with the white of sRGB: none gets a tint.
func TestGreyStaysGrey(t *testing.T) {
	p3, err := icc.Parse(rgbProfile(p3Colourants, srgbCurve))
	if err != nil {
		t.Fatal(err)
	}
	rounded := [9]float64{0.4361, 0.3851, 0.1431, 0.2225, 0.7169, 0.0606, 0.0139, 0.0971, 0.7142}
	coarse, err := icc.Parse(rgbProfile(rounded, para(0, 1.8)))
	if err != nil {
		t.Fatal(err)
	}
	tags, err := icc.CICP(9, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, tr := range []*icc.Transform{p3, coarse, tags} {
		for v := range 256 {
			got := [3]byte{byte(v), byte(v), byte(v)}
			tr.Convert(got[:], got[:])
			if got[0] != got[1] || got[1] != got[2] {
				t.Errorf("grey %d becomes %v", v, got)
			}
		}
	}
}

func TestTagsWithoutMeaning(t *testing.T) {
	for _, tags := range [][2]uint16{{0, 13}, {3, 13}, {1, 0}, {1, 3}, {1, 99}, {99, 13}, {65535, 65535}} {
		if tr, err := icc.CICP(tags[0], tags[1]); err == nil {
			t.Errorf("CICP %v: got %v, want an error", tags, tr)
		}
	}
	noColours := [8]float64{0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3}
	for _, c := range [][8]float64{{}, {0.3, 0, 1, 1, 1, 1, 1, 1}, noColours, {0.3, 0.3, 9}} {
		if tr, err := icc.Gamma(1, &c); err == nil {
			t.Errorf("Gamma with %v: got %v, want an error", c, tr)
		}
	}
	for _, g := range []float64{-1, 1e-9, 1e9} {
		if tr, err := icc.Gamma(g, nil); err == nil {
			t.Errorf("Gamma(%v): got %v, want an error", g, tr)
		}
	}
}

func BenchmarkConvert(b *testing.B) {
	all := profiles()
	src := make([]byte, 12<<12)
	for i := range src {
		src[i] = byte(i * i >> 7)
	}
	dst := make([]byte, len(src))
	for _, name := range []string{"display-p3", "grey-gamma", "rgb-mft2-lab", "cmyk-mft2"} {
		b.Run(name, func(b *testing.B) {
			tr, err := icc.Parse(all[name].data)
			if err != nil {
				b.Fatal(err)
			}
			pixels := len(src) / max(tr.Channels(), 3)
			for b.Loop() {
				tr.Convert(dst[:3*pixels], src[:tr.Channels()*pixels])
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*pixels), "ns/pixel")
		})
		b.Run(name+"/Parse", func(b *testing.B) {
			for b.Loop() {
				_, _ = icc.Parse(all[name].data)
			}
		})
	}
}
