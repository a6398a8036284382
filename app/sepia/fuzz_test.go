package sepia_test

import (
	"bytes"
	"errors"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagery/app/imagery"
	"imagery/app/sepia"
)

// fuzzPixels keeps single inputs of the fuzzers quick.
const fuzzPixels = 1 << 14

// seed adds a photo of every kind, and some that are not.
func seed(f *testing.F) {
	names, err := filepath.Glob("testdata/*.*")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
	}
	f.Add(gigapixelGIF)
	f.Add(heavyGIF(13, 9))
	for _, build := range heavyKinds {
		f.Add(build(13, 9))
	}
	lossy, err := os.ReadFile("testdata/lossy.webp")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(extendWebP(lossy, 43, 29, exif(6)))
	f.Add(webpAnimation(50, 40, webpFrame{lossy, 4, 2, 43, 29}))
	f.Add(webpAnimation(43, 29, webpFrame{lossy, 0, 0, 43, 29}, webpFrame{lossy, 0, 0, 43, 29}))
}

// FuzzInspect: refusing a prefix for good means refusing the whole; and nothing but bad photos comes out.
func FuzzInspect(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		p, err := sepia.Inspect(bytes.NewReader(raw), fuzzPixels)
		var bad *imagery.BadPhoto
		if err != nil {
			if !errors.As(err, &bad) || bad.Reason == "" {
				t.Fatalf("got %v, want a bad photo with a reason", err)
			}
		} else if p.Width <= 0 || p.Height <= 0 || p.Width*p.Height > fuzzPixels {
			t.Fatalf("accepted %+v", p)
		}
		if len(raw) < 24 {
			return
		}
		_, early := sepia.Inspect(bytes.NewReader(raw[:len(raw)/2]), fuzzPixels)
		if early != nil && !errors.Is(early, io.ErrUnexpectedEOF) && err == nil {
			t.Fatalf("half of it is refused for good (%v), all of it is not", early)
		}
	})
}

// FuzzApply: what Inspect lets through ends as a picture of the size it said, or as a bad photo. No panic gets out.
func FuzzApply(f *testing.F) {
	seed(f)
	f.Fuzz(func(t *testing.T, raw []byte) {
		filter := sepia.Filter{MaxPixels: fuzzPixels}
		p, refusal := sepia.Inspect(bytes.NewReader(raw), fuzzPixels)
		if c, err := filter.Inspect(raw); err == nil && c.Memory > sepia.LargestPeak(fuzzPixels) {
			t.Fatalf("a peak of %d bytes is above the largest", c.Memory)
		}
		res, err := filter.Apply(t.Context(), raw)
		var bad *imagery.BadPhoto
		switch {
		case err != nil && !errors.As(err, &bad):
			t.Fatalf("got %v, want a bad photo", err)
		case refusal != nil && err == nil:
			t.Fatalf("Inspect refuses what Apply takes: %v", refusal)
		case err != nil && strings.Contains(bad.Error(), " panicked: ") &&
			!strings.Contains(bad.Error(), "decode panicked: "):
			t.Fatalf("a panic that is not the decoder's: %v", bad)
		case err != nil:
			return
		}
		config := png.DecodeConfig
		if res.Ext == "jpg" {
			config = jpeg.DecodeConfig
		}
		c, err := config(res.Body)
		if err != nil {
			t.Fatalf("decode the result: %v", err)
		}
		want := [2]int{p.Width, p.Height}
		if p.Orientation >= 5 {
			want = [2]int{p.Height, p.Width}
		}
		if [2]int{c.Width, c.Height} != want {
			t.Fatalf("the result has %d x %d pixels, want %v", c.Width, c.Height, want)
		}
	})
}

// FuzzWebP puts the input behind the head of a container, as chunks, so that the fuzzer need not find that head. An
// opaque lossy photo has the planes of x/image/vp8, or both refuse it.
func FuzzWebP(f *testing.F) {
	for _, name := range []string{"lossy", "edges", "alpha", "lossless", "flat"} {
		b, err := os.ReadFile(filepath.Join("testdata", name+".webp"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b[12:], uint8(0))
		f.Add(extendWebP(b, 43, 29, exif(5))[12:], uint8(9))
		f.Add(webpAnimation(46, 31, webpFrame{b, 2, 2, 43, 29})[12:], uint8(3))
	}
	f.Fuzz(func(t *testing.T, chunks []byte, cut uint8) {
		raw := append([]byte("RIFF\xff\xff\xff\xffWEBP"), chunks...)
		p, err := sepia.Inspect(bytes.NewReader(raw), fuzzPixels)
		if err != nil {
			return
		}
		if p.Width > 1<<14 || p.Height > 1<<14 || p.Width*p.Height > fuzzPixels {
			t.Fatalf("accepted %+v", p)
		}
		samePlanes(t, raw, p.Orientation)
		var bad *imagery.BadPhoto
		for _, part := range [][]byte{raw, slices.Clip(raw[:max(12, len(raw)-int(cut))])} {
			_, err := sepia.Filter{MaxPixels: fuzzPixels}.Apply(t.Context(), part)
			if err != nil && !errors.As(err, &bad) {
				t.Fatalf("got %v, want a bad photo", err)
			}
		}
	})
}
