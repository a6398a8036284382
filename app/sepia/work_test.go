package sepia_test

import (
	"bytes"
	"testing"

	"imagery/app/sepia"
	"imagery/app/testing/short"
)

// TestWork: each scan of a progressive JPEG is a pass over all its pixels; everything else takes one.
func TestWork(t *testing.T) {
	progressive := heavyKinds["JPEG progressive 4:4:4"](64, 48)
	start := bytes.LastIndex(progressive, []byte{0xff, 0xda})
	scan := progressive[start : len(progressive)-2]
	before := bytes.Count(progressive, []byte{0xff, 0xda})
	many := append(bytes.Clone(progressive[:start]), bytes.Repeat(scan, 80)...)
	many = append(many, 0xff, 0xd9)
	for name, c := range map[string]struct {
		raw  []byte
		want int64
	}{
		"progressive": {progressive, int64(64 * 48 * before)}, "of many scans": {many, int64(64 * 48 * (before + 79))},
		"baseline": {heavyKinds["JPEG 4:2:0"](64, 48), 64 * 48}, "GIF": {heavyGIF(64, 48), 64 * 48},
	} {
		cost, err := sepia.Filter{}.Inspect(c.raw)
		if err != nil || cost.Work != c.want {
			t.Errorf("%s: work %d, %v; want %d", name, cost.Work, err, c.want)
		}
	}
}

// TestDear: a GIF of a few KB with 49 megapixels is dear; photos, and drawings that compress well, are not.
func TestDear(t *testing.T) {
	short.Skip(t, "photos that take much memory or time")
	for name, c := range map[string]struct {
		raw  []byte
		want bool
	}{
		"a GIF of one colour": {heavyGIF(7000, 7000), true}, "a small one": {heavyGIF(600, 600), false},
		"a photo":      {photoLike(t, 4000, 3000), false},
		"a turned one": {withSegment(photoLike(t, 4000, 3000), exifSegment(6)), false},
	} {
		cost, err := sepia.Filter{}.Inspect(c.raw)
		if err != nil || cost.Expensive() != c.want {
			t.Errorf("%s: %+v is dear: %t, %v", name, cost, cost.Expensive(), err)
		}
	}
}
