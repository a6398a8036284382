package main

import (
	"bytes"
	"image"
	"image/jpeg"
	"image/png"
	"os"
	"path/filepath"
	"strings"
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

// TestDraw: the largest photo of a folder is mirrored until it is large enough, then scaled down.
func TestDraw(t *testing.T) {
	folder := t.TempDir()
	if _, _, err := findOriginal(folder); err == nil {
		t.Error("a folder without photos will do")
	}
	for name, width := range map[string]int{"a.jpg": 300, "b.JPEG": 60} {
		body := encoded(t, landscape(width, width*2/3), 90)
		if err := os.WriteFile(filepath.Join(folder, name), body, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	original, about, err := findOriginal(folder)
	if err != nil || !strings.Contains(about, "a.jpg") {
		t.Fatalf("%q, %v", about, err)
	}
	for _, from := range [][]byte{original, nil} {
		for _, megapixels := range []float64{0.02, 0.06, 0.3} {
			img, err := drawn(from, megapixels)
			if err != nil {
				t.Fatal(err)
			}
			size := img.Bounds().Size()
			if got := float64(size.X*size.Y) / 1e6; got < megapixels*0.9 || got > megapixels*1.1 ||
				size.X*2/3-size.Y > 1 || size.X*2/3-size.Y < -1 {
				t.Errorf("the picture of %g megapixels has %s", megapixels, size)
			}
		}
	}
}
