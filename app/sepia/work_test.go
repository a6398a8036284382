package sepia_test

import (
	"bytes"
	"slices"
	"testing"

	"imagery/app/sepia"
	"imagery/app/testing/short"
)

// TestWork: each scan of a progressive JPEG, or of one that has planes in several, is a pass over all its pixels;
// everything else takes one.
func TestWork(t *testing.T) {
	progressive := heavyKinds["JPEG progressive 4:4:4"](64, 48)
	before := bytes.Count(progressive, []byte{0xff, 0xda})
	many := repeated(progressive, 79)
	for name, c := range map[string]struct {
		raw  []byte
		want int64
	}{
		"baseline of many scans": {repeated(heavyKinds["JPEG 4:2:0"](64, 48), 9), 64 * 48 * 10},
		"progressive":            {progressive, int64(64 * 48 * before)},
		"of many scans":          {many, int64(64 * 48 * (before + 79))},
		"baseline":               {heavyKinds["JPEG 4:2:0"](64, 48), 64 * 48}, "GIF": {heavyGIF(64, 48), 64 * 48},
	} {
		cost, err := sepia.Filter{}.Inspect(c.raw)
		if err != nil || cost.Work != c.want {
			t.Errorf("%s: work %d, %v; want %d", name, cost.Work, err, c.want)
		}
	}
}

// repeated returns a JPEG in which the last scan comes n times more.
func repeated(raw []byte, n int) []byte {
	start, end := bytes.LastIndex(raw, []byte{0xff, 0xda}), len(raw)-2
	return slices.Concat(raw[:end], bytes.Repeat(raw[start:end], n), raw[end:])
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
