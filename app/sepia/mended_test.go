package sepia_test

import (
	"bytes"
	"image/color"
	"image/jpeg"
	"slices"
	"strings"
	"testing"

	"imagery/app/imagery"
	"imagery/app/sepia"
)

// cutJPEG is a JPEG of 96 x 128 in one scan, or progressive, cut behind that share of its data.
func cutJPEG(progressive bool, orientation uint16, percent int) []byte {
	f := jpegFile{width: 96, height: 128, progressive: progressive,
		components: []jpegPlane{{1, 2, 2, wave(0)}, {2, 1, 1, wave(1)}, {3, 1, 1, wave(2)}}}
	f.segments = [][]byte{exifSegment(orientation)}
	raw := f.bytes()
	start := bytes.Index(raw, []byte{0xff, 0xda})
	n := start + (len(raw)-start)*percent/100
	return raw[:n:n]
}

// TestCutJPEGs: a JPEG of which at least half of the rows are there is processed, with a warning, in every orientation;
// the rest is grey.
func TestCutJPEGs(t *testing.T) {
	for orientation := uint16(1); orientation <= 8; orientation++ {
		for _, progressive := range []bool{false, true} {
			whole, err := sepia.Filter{}.Apply(t.Context(), cutJPEG(progressive, orientation, 100))
			if err != nil || whole.Warning != "" {
				t.Fatalf("orientation %d: warning %q, %v", orientation, whole.Warning, err)
			}
			want, err := jpeg.Decode(bytes.NewReader(body(t, whole)))
			if err != nil {
				t.Fatal(err)
			}
			res, err := sepia.Filter{}.Apply(t.Context(), cutJPEG(progressive, orientation, 70))
			if err != nil || !strings.HasPrefix(res.Warning, "The end of this photo is missing") {
				t.Errorf("orientation %d, progressive %t: warning %q, %v", orientation, progressive, res.Warning, err)
				continue
			}
			got, err := jpeg.Decode(bytes.NewReader(body(t, res)))
			if err != nil || got.Bounds() != want.Bounds() {
				t.Fatalf("%v, %v", got.Bounds(), err)
			}
			first := [][2]int{{0, 0}, {95, 0}, {95, 127}, {0, 127}, {0, 0}, {127, 0}, {127, 95}, {0, 95}}[orientation-1]
			if g, w := grey(got.At(first[0], first[1])), grey(want.At(first[0], first[1])); max(g-w, w-g) > 40 {
				t.Errorf("orientation %d, progressive %t: the first pixel is %d, want %d", orientation, progressive, g, w)
			}
			last := [][2]int{{95, 127}, {0, 127}, {0, 0}, {95, 0}, {127, 95}, {0, 95}, {0, 0}, {127, 0}}[orientation-1]
			if g := grey(got.At(last[0], last[1])); !progressive && (g < 198 || g > 204) { // what the filter makes of 128
				t.Errorf("orientation %d: the last pixel is %d, want grey", orientation, g)
			}
			_, err = sepia.Filter{}.Apply(t.Context(), cutJPEG(false, orientation, 40))
			if r := refused(t, err, imagery.Unreadable).Reason; !strings.Contains(r, "cut short") {
				t.Errorf("orientation %d: %q", orientation, r)
			}
		}
	}
}

func grey(c color.Color) int { return int(color.GrayModel.Convert(c).(color.Gray).Y) }

// TestPartsOfCutJPEGs: a turned photo that is decoded in several parts warns, too.
func TestPartsOfCutJPEGs(t *testing.T) {
	defer sepia.TurnInParts(4 << 10)()
	for _, orientation := range []uint16{3, 6} {
		res, err := sepia.Filter{}.Apply(t.Context(), cutJPEG(false, orientation, 80))
		if err != nil || res.Warning == "" {
			t.Errorf("orientation %d: warning %q, %v", orientation, res.Warning, err)
		}
	}
}

// TestEachMendingHasItsWarning also checks that the warnings are sentences.
func TestEachMendingHasItsWarning(t *testing.T) {
	raw := cutJPEG(false, 1, 100)
	insert := func(s string) []byte { return slices.Concat(raw[:2], []byte(s), raw[2:]) }
	damaged := bytes.Clone(raw)
	copy(damaged[len(raw)-len(raw)/20:], "\xff\xd3\x00\x00\x00") // an unexpected restart marker
	for name, c := range map[string]struct {
		raw     []byte
		warning string // part of it
	}{
		"whole":                  {raw, ""},
		"no end marker":          {raw[: len(raw)-2 : len(raw)-2], "the picture is complete"},
		"half an end marker":     {raw[: len(raw)-1 : len(raw)-1], "the picture is complete"},
		"later scans missing":    {cutJPEG(true, 1, 50), "fine detail"},
		"rows missing":           {cutJPEG(false, 1, 80), "grey"},
		"rows missing, an end":   {append(cutJPEG(false, 1, 80), 0xff, 0xd9), "grey"},
		"damage":                 {damaged, "damaged"},
		"a segment of length 0":  {insert("\xff\xe1\x00\x00Exif"), "beside the picture"},
		"damaged Exif":           {insert("\xff\xe1\x00\x10Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff"), ""},
		"bytes between segments": {insert("\xff\xfe\x00\x02nothing"), ""},
	} {
		res, err := sepia.Filter{}.Apply(t.Context(), c.raw)
		if err != nil || (res.Warning == "") != (c.warning == "") || !strings.Contains(res.Warning, c.warning) {
			t.Errorf("%s: warning %q, %v", name, res.Warning, err)
		}
		if res.Warning != "" && (!strings.HasSuffix(res.Warning, ".") || strings.Count(res.Warning, ".") != 1) {
			t.Errorf("%s: the warning %q is no sentence", name, res.Warning)
		}
	}
}

// TestCMYKWithoutAdobe: a file that does not say so is taken as inverted, as Adobe's are and browsers do.
func TestCMYKWithoutAdobe(t *testing.T) {
	f := jpegFile{width: 32, height: 16, components: []jpegPlane{
		{1, 1, 1, wave(0)}, {2, 1, 1, wave(1)}, {3, 1, 1, wave(2)}, {4, 1, 1, wave(1)}}}
	plain, err := sepia.Filter{}.Apply(t.Context(), f.bytes())
	if err != nil || plain.Warning != "" {
		t.Fatalf("warning %q, %v", plain.Warning, err)
	}
	f.segments = [][]byte{jpegSegment(0xee, []byte("Adobe\x00\x64\x00\x00\x00\x00\x00")...)}
	adobe, err := sepia.Filter{}.Apply(t.Context(), f.bytes())
	if err != nil || !bytes.Equal(body(t, plain), body(t, adobe)) {
		t.Errorf("Adobe's makes another picture, %v", err)
	}
}

// TestOtherKindsAreNamed: a refusal says what the file is.
func TestOtherKindsAreNamed(t *testing.T) {
	raw := jpegFile{width: 16, height: 16, components: []jpegPlane{{1, 1, 1, wave(0)}}}.bytes()
	sof := bytes.Index(raw, []byte{0xff, 0xc0})
	for value, name := range map[[2]int]string{
		{1, 0xc3}: "a lossless JPEG", {1, 0xc5}: "a hierarchical JPEG", {1, 0xc9}: "a JPEG with arithmetic coding",
		{1, 0xca}: "a JPEG with arithmetic coding", {1, 0xcb}: "a lossless JPEG", {1, 0xcd}: "a hierarchical JPEG",
		{1, 0xf7}: "a JPEG-LS", {1, 0xd8}: "starts a second time", {4, 12}: "12 bits",
	} {
		other := bytes.Clone(raw)
		other[sof+value[0]] = byte(value[1])
		_, err := sepia.Inspect(bytes.NewReader(other), 0)
		if r := refused(t, err, imagery.Unreadable).Reason; !strings.Contains(r, name) || !strings.Contains(r, "lease") {
			t.Errorf("%#x: %q, want %q and what to do", value, r, name)
		}
	}
}
