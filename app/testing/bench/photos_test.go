package main

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"testing"
)

func encoded(t *testing.T, m image.Image, quality int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality}); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestVerify: a result that is not what was requested is an error.
func TestVerify(t *testing.T) {
	picture := landscape(96, 64)
	good := encoded(t, picture, 90)
	p := photo{name: "photo", kind: baseline, width: 96, height: 64}
	if err := verify(p, good); err != nil {
		t.Error(err)
	}
	var asPNG bytes.Buffer
	if err := png.Encode(&asPNG, picture); err != nil {
		t.Fatal(err)
	}
	if err := verify(photo{kind: lossless, width: 96, height: 64}, asPNG.Bytes()); err != nil {
		t.Error(err)
	}
	for name, body := range map[string][]byte{
		"nothing":          nil,
		"a coarse one":     encoded(t, picture, 80),
		"a smaller one":    encoded(t, landscape(48, 32), 90),
		"one without grey": encoded(t, image.NewGray(picture.Rect), 90),
		"a PNG":            asPNG.Bytes(),
		"half of it":       good[:len(good)/2],
	} {
		if err := verify(p, body); err == nil {
			t.Errorf("%s passes", name)
		}
	}
}

// TestDrawnPictureIsLikeAPhoto: it is always the same, and compresses like the photo of a camera.
func TestDrawnPictureIsLikeAPhoto(t *testing.T) {
	a, b := landscape(600, 400), landscape(600, 400)
	if !bytes.Equal(a.Pix, b.Pix) {
		t.Error("two pictures differ")
	}
	if bits := 8 * float64(len(encoded(t, a, 90))) / (600 * 400); bits < 1 || bits > 4 {
		t.Errorf("%.1f bits a pixel at quality 90", bits)
	}
}

// TestMakePhotos: every photo is made once, from the original if there is one.
func TestMakePhotos(t *testing.T) {
	cache, folder := t.TempDir(), t.TempDir()
	original := encoded(t, landscape(300, 200), 90)
	if err := os.WriteFile(filepath.Join(folder, "a.jpg"), original, 0o600); err != nil {
		t.Fatal(err)
	}
	made := 0
	make := func(_ string, asPNG []byte) ([]byte, error) { made++; return asPNG, nil }
	for range 2 {
		list, about, err := makePhotos(t.Context(), cache, folder, []string{small}, make)
		if err != nil || len(list) != len(kinds) || about == "" {
			t.Fatalf("%d photos, %q, %v", len(list), about, err)
		}
		for _, p := range list {
			// Mirrored until it is large enough, then scaled down: the aspect ratio stays.
			if p.pixels() < 280_000 || p.pixels() > 320_000 || p.width*2/3-p.height > 1 || p.width*2/3-p.height < -1 {
				t.Errorf("%s has %d x %d pixels", p.name, p.width, p.height)
			}
		}
	}
	if made != len(kinds) {
		t.Errorf("%d files were made, want %d once", made, len(kinds))
	}
	if _, _, err := makePhotos(t.Context(), cache, t.TempDir(), []string{small}, make); err == nil {
		t.Error("a folder without photos will do")
	}
	broken := errors.New("broken")
	fails := func(string, []byte) ([]byte, error) { return nil, broken }
	if _, _, err := makePhotos(t.Context(), t.TempDir(), "", []string{small}, fails); !errors.Is(err, broken) {
		t.Errorf("a photo that cannot be made: %v", err)
	}
}

// TestCameraFileIsUsedAsItIs: only an upright baseline JPEG of the right size is.
func TestCameraFileIsUsedAsItIs(t *testing.T) {
	m := image.NewYCbCr(image.Rect(0, 0, 3000, 2000), image.YCbCrSubsampleRatio420)
	plain := encoded(t, m, 75)
	if !isBaseline(plain) {
		t.Error("a plain photo of 6 megapixels is not used")
	}
	changed := bytes.Replace(plain, []byte{0xff, 0xc0}, []byte{0xff, 0xc2}, 1)
	for name, raw := range map[string][]byte{
		"small": encoded(t, landscape(300, 200), 90), "of another kind": changed, "broken": plain[:100],
	} {
		if isBaseline(raw) {
			t.Errorf("a photo that is %s is used", name)
		}
	}
}
