package sepia_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"imagery/app/imagery"
	"imagery/app/sepia"
)

// TestCutShort cuts every kind of photo after every byte: Inspect either asks for more bytes or knows the header, and
// Apply takes no part for the whole without a warning.
func TestCutShort(t *testing.T) {
	png, _ := pngOfKind(6, 8, true, false)
	for name, raw := range map[string][]byte{
		"JPEG":          fixture(t, "progressive.jpg"),
		"JPEG plain":    photoLike(t, 90, 50),
		"PNG":           png.bytes(),
		"WebP":          fixture(t, "alpha.webp"),
		"WebP extended": extendWebP(fixture(t, "lossy.webp"), 43, 29, exif(6)),
		"WebP lossless": fixture(t, "lossless.webp"),
		"WebP animated": webpAnimation(60, 40, webpFrame{fixture(t, "lossless.webp"), 6, 4, 43, 29}),
		"GIF": []byte("GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff," +
			"\x00\x00\x00\x00\x01\x00\x01\x00\x00\x02\x02D\x01\x00;"),
	} {
		t.Run(name, func(t *testing.T) {
			whole, err := sepia.Filter{}.Apply(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			known := false
			for n := 12; n < len(raw); n++ {
				part := slices.Clip(bytes.Clone(raw[:n])) // nothing to find behind its end
				_, err := sepia.Inspect(bytes.NewReader(part), 0)
				switch {
				case err == nil:
					known = true
				case known:
					t.Fatalf("%d bytes are refused, fewer were enough: %v", n, err)
				default:
					refused(t, err, imagery.Unreadable)
					if !errors.Is(err, io.ErrUnexpectedEOF) {
						t.Fatalf("%d bytes are refused for good: %v", n, err)
					}
				}
				res, err := sepia.Filter{}.Apply(t.Context(), part)
				if err == nil && res.Warning == "" && !bytes.Equal(body(t, res), body(t, whole)) &&
					!strings.HasPrefix(name, "WebP ext") {
					t.Fatalf("%d of %d bytes make another picture", n, len(raw))
				}
				if err != nil {
					refused(t, err, imagery.Unreadable)
				}
			}
			if !known {
				t.Error("no prefix was enough")
			}
		})
	}
}

// TestReaderThatFails: an error of the reader is no fault of the photo.
func TestReaderThatFails(t *testing.T) {
	lost := errors.New("connection lost")
	for name, raw := range map[string][]byte{
		"JPEG": fixture(t, "progressive.jpg"), "WebP": fixture(t, "alpha.webp"), "PNG": fixture(t, "alpha.png"),
	} {
		for _, n := range []int{0, 12, 30, len(raw) - 20} {
			t.Run(fmt.Sprintf("%s after %d", name, n), func(t *testing.T) {
				_, err := sepia.Inspect(io.MultiReader(bytes.NewReader(raw[:n]), iotest.ErrReader(lost)), 0)
				var bad *imagery.BadPhoto
				if !errors.Is(err, lost) || errors.As(err, &bad) {
					t.Errorf("got %v, want the reader's error", err)
				}
			})
		}
	}
	if _, err := sepia.Inspect(iotest.OneByteReader(bytes.NewReader(fixture(t, "lossy.webp"))), 0); err != nil {
		t.Errorf("byte by byte: %v", err)
	}
}
