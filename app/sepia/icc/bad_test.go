package icc_test

import (
	"encoding/binary"
	"testing"

	"imagery/app/sepia/icc"
)

// TestDamaged reads profiles that lie: each is an error, and none takes memory for what it claims.
func TestDamaged(t *testing.T) {
	good := rgbProfile(p3Colourants, srgbCurve)
	change := func(f func(b []byte)) []byte {
		b := append([]byte(nil), good...)
		f(b)
		return b
	}
	huge := mft2(4, 3, cmykToLab)
	huge[10] = 255
	deep := mab(4, 3, cmykToLab)
	for i := range 4 {
		deep[int(binary.BigEndian.Uint32(deep[24:]))+i] = 255
	}
	far := mab(3, 3, rgbToLab)
	binary.BigEndian.PutUint32(far[24:], 0xFFFFFFF0)
	bad := map[string][]byte{
		"empty":           {},
		"text":            []byte("not a profile"),
		"only a header":   good[:131],
		"no signature":    change(func(b []byte) { b[36] = 0 }),
		"a link":          change(func(b []byte) { copy(b[12:], "link") }),
		"Lab pixels":      change(func(b []byte) { copy(b[16:], "Lab ") }),
		"2^32-1 tags":     change(func(b []byte) { copy(b[128:], "\xff\xff\xff\xff"); copy(b[132:], "none") }),
		"a tag of 4 GB":   change(func(b []byte) { copy(b[140:], "\xff\xff\xff\xff") }),
		"a size of 0":     change(func(b []byte) { copy(b, "\x00\x00\x00\x00") }),
		"half":            good[:len(good)/2],
		"curve of 2^32-1": rgbProfile(p3Colourants, []byte("curv\x00\x00\x00\x00\xff\xff\xff\xff\x00\x00")),
		"curve of kind 9": rgbProfile(p3Colourants, para(9, 1)),
		"grid of 255^4":   buildProfile("prtr", "CMYK", "Lab ", tag{"A2B0", huge}),
		"mAB of 255^4":    buildProfile("prtr", "CMYK", "Lab ", tag{"A2B0", deep}),
		"far offset":      buildProfile("mntr", "RGB ", "Lab ", tag{"A2B0", far}),
		"wrong channels":  buildProfile("mntr", "RGB ", "Lab ", tag{"A2B0", mft2(4, 3, cmykToLab)}),
		"CMYK by curves":  buildProfile("prtr", "CMYK", "XYZ ", rgbTags(p3Colourants, srgbCurve)...),
	}
	for name, b := range bad {
		if tr, err := icc.Parse(b); err == nil {
			t.Errorf("%s: got %v, want an error", name, tr)
		}
	}
}

// TestLargeProfile reads a profile of 20 MB: it takes no more memory than a small one.
func TestLargeProfile(t *testing.T) {
	entries := make([]uint16, 10<<20)
	for i := range entries {
		entries[i] = uint16(i >> 5)
	}
	b := rgbProfile(p3Colourants, curv(entries...))
	tr, err := icc.Parse(b[:len(b):len(b)])
	if err != nil || tr == nil {
		t.Fatalf("got %v, %v", tr, err)
	}
	if tr.Memory() > 1<<20 {
		t.Errorf("the transform holds %d bytes", tr.Memory())
	}
	if n := testing.AllocsPerRun(3, func() { _, _ = icc.Parse(b) }); n > 100 {
		t.Errorf("Parse allocates %v times", n)
	}
}

func FuzzProfile(f *testing.F) {
	for _, p := range profiles() {
		if len(p.data) < 1<<14 {
			f.Add(p.data)
		}
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tr, err := icc.Parse(b)
		if err != nil || tr == nil {
			if err != nil && tr != nil {
				t.Error("an error and a transform")
			}
			return
		}
		src := []byte{0, 0, 0, 0, 255, 255, 255, 255, 1, 2, 3, 4, 250, 128, 7, 0, 0, 255, 255, 0, 9, 99, 199, 222}
		for _, n := range []int{0, 1, len(src)} {
			tr.Convert(make([]byte, 3*n), src[:n])
			tr.Convert16(make([]byte, 3*n), src[:n])
		}
	})
}
