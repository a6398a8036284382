package sepia_test

import (
	"bytes"
	"context"
	"fmt"
	"image/color"
	"testing"

	"imagery/app/sepia"
)

func TestOrientation(t *testing.T) { testOrientation(t) }

// TestOrientationInParts: photos are turned in parts, which here have one row, a few, or all but a few.
func TestOrientationInParts(t *testing.T) {
	for _, bytes := range []int{1, 5 * 4 * 37, 20 * 4 * 37} {
		t.Run(fmt.Sprintf("%d bytes", bytes), func(t *testing.T) {
			defer sepia.TurnInParts(bytes)()
			testOrientation(t)
		})
	}
}

func testOrientation(t *testing.T) {
	jpegFor := func(width, height int, app1 []byte) []byte {
		return jpegFile{width: width, height: height, segments: [][]byte{app1}, components: []jpegPlane{
			{1, 2, 2, wave(0)}, {2, 1, 1, wave(1)}, {3, 1, 1, wave(2)}}}.bytes()
	}
	pixel := func(x, y int) uint32 { return uint32(x*5)<<24 | uint32(x*5)<<16 | uint32(y*7)<<8 | uint32(x+y) }
	lossless := webpFile(webpChunk{"VP8L", webpLossless(33, 21, pixel)})
	lossyTruth, alphaTruth := straightPixels(libwebp(t, "lossy")), straightPixels(libwebp(t, "alpha"))
	kinds := map[string]struct {
		colour, depth           byte
		interlaced, transparent bool
	}{
		"RGB": {2, 8, false, false}, "RGBA": {6, 8, false, false}, "palette": {3, 4, false, true},
		"deep": {6, 16, false, false}, "deep grey": {0, 16, false, false}, "interlaced": {2, 8, true, true},
		"interlaced grey": {0, 2, true, false},
	}

	for o := 1; o <= 8; o++ {
		for _, size := range [][2]int{{38, 22}, {37, 22}, {38, 21}, {37, 21}} { // chroma is turned with even ones only
			t.Run(fmt.Sprintf("JPEG %d of %v", o, size), func(t *testing.T) {
				testJPEG(t, jpegFor(size[0], size[1], exifSegment(uint16(o))), o)
			})
		}
		for name, kind := range kinds {
			t.Run(fmt.Sprintf("PNG %s %d", name, o), func(t *testing.T) {
				f, want := pngOfKind(kind.colour, kind.depth, kind.interlaced, kind.transparent)
				f.exif, f.exifLast = exif(uint16(o)), o%2 == 0
				compare(t, apply(t, f.bytes(), "png"), want.sepiaOf(o), 0)
			})
		}
		t.Run(fmt.Sprintf("WebP lossless %d", o), func(t *testing.T) {
			want := pixels{33, 21, func(x, y int) color.NRGBA {
				return color.NRGBA{uint8(x * 5), uint8(y * 7), uint8(x + y), uint8(x * 5)}
			}}
			compare(t, apply(t, extendWebP(lossless, 33, 21, exif(uint16(o))), "png"), want.sepiaOf(o), 0)
		})
		t.Run(fmt.Sprintf("WebP alpha %d", o), func(t *testing.T) {
			raw := extendWebP(fixture(t, "alpha.webp"), alphaTruth.width, alphaTruth.height, exif(uint16(o)))
			compare(t, apply(t, raw, "png"), alphaTruth.sepiaOf(o), 0)
		})
		t.Run(fmt.Sprintf("WebP lossy %d", o), func(t *testing.T) {
			prefixed := append([]byte("Exif\x00\x00"), exif(uint16(o))...) // as some phones write it
			raw := extendWebP(fixture(t, "lossy.webp"), lossyTruth.width, lossyTruth.height, prefixed)
			compare(t, decoded(t, raw), straightPixels(lossyTruth.sepiaOf(o).inPlanes()), 0)
		})
	}
}

// TestOrientationThatMakesNoSense: bad EXIF is no reason to refuse, or to turn, a photo.
func TestOrientationThatMakesNoSense(t *testing.T) {
	little := []byte("II*\x00\x08\x00\x00\x00\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00")
	edit := func(at int, b ...byte) []byte {
		return append(append(bytes.Clone(little[:at]), b...), little[at+len(b):]...)
	}
	for name, c := range map[string]struct {
		tiff []byte
		want int
	}{
		"little endian":    {little, 6},
		"big endian":       {exif(6), 6},
		"zero":             {edit(18, 0), 1},
		"nine":             {edit(18, 9), 1},
		"a long":           {edit(12, 4), 1},
		"another tag":      {edit(10, 0x13), 1},
		"no TIFF":          {[]byte("XX*\x00\x08\x00\x00\x00"), 1},
		"empty":            {nil, 1},
		"far directory":    {edit(4, 0xff, 0xff, 0xff, 0xff), 1},
		"endless":          {edit(8, 0xff, 0xff), 6},
		"cut in the entry": {little[:20], 1},
		"no entry":         {little[:10], 1},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := pngOfKind(2, 8, false, false)
			f.exif = append([]byte{}, c.tiff...)
			p, err := sepia.Inspect(bytes.NewReader(f.bytes()), 0)
			if err != nil || p.Orientation != c.want {
				t.Errorf("orientation %d, %v; want %d", p.Orientation, err, c.want)
			}
		})
	}
}

// TestMetadataIsDropped searches the results for everything that the originals say about themselves.
func TestMetadataIsDropped(t *testing.T) {
	f, _ := pngOfKind(6, 8, false, false)
	f.exif = exif(1)
	png := f.bytes()
	text := pngChunk("tEXt", []byte("Comment\x00"+place))
	png = append(append(append([]byte{}, png[:33]...), text...), png[33:]...)
	webp := extendWebP(fixture(t, "lossy.webp"), 43, 29, exif(1))
	jpeg := jpegFile{width: 16, height: 16, components: []jpegPlane{{1, 1, 1, wave(0)}}, segments: [][]byte{
		exifSegment(1),
		jpegSegment(0xe1, []byte("http://ns.adobe.com/xap/1.0/\x00"+place)...),
		jpegSegment(0xe2, []byte("ICC_PROFILE\x00\x01\x01"+place)...),
		jpegSegment(0xed, []byte("Photoshop 3.0\x00"+place)...),
		jpegSegment(0xfe, []byte(place)...),
	}}.bytes()
	for name, raw := range map[string][]byte{"PNG": png, "WebP": webp, "JPEG": append(jpeg, place...)} {
		t.Run(name, func(t *testing.T) {
			if !bytes.Contains(raw, []byte(place)) {
				t.Fatal("the original has no place in it")
			}
			res, err := sepia.Filter{}.Apply(context.Background(), raw)
			if err != nil {
				t.Fatal(err)
			}
			for _, secret := range []string{place, "Exif", "eXIf", "ICC", "http"} {
				if bytes.Contains(body(t, res), []byte(secret)) {
					t.Errorf("the result contains %q", secret)
				}
			}
		})
	}
}
