package sepia_test

import (
	"bytes"
	"context"
	"errors"
	"image"
	"image/color/palette"
	"image/gif"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/image/webp"

	"imagery/app/imagery"
	"imagery/app/sepia"
)

func TestPanickingDecoderIsABadPhoto(t *testing.T) {
	defer sepia.ReplaceDecoder(sepia.WebP, func(io.Reader) (image.Image, error) {
		var none []int
		_ = none[len(none)]
		return nil, nil
	})()
	_, err := sepia.Filter{}.Apply(t.Context(), fixture(t, "alpha.webp"))
	var bad *imagery.BadPhoto
	if !errors.As(err, &bad) || bad.Kind != imagery.Unreadable || bad.Reason == "" {
		t.Fatalf("got %v, want a bad photo", err)
	}
	if bad.Err == nil || !strings.Contains(bad.Err.Error(), "decode panicked: ") ||
		!strings.Contains(bad.Err.Error(), "apply_test.go") {
		t.Errorf("the log would not show where it panicked: %v", bad.Err)
	}
}

func TestDecoderThatFindsAnotherSize(t *testing.T) {
	defer sepia.ReplaceDecoder(sepia.WebP, func(io.Reader) (image.Image, error) {
		return image.NewNRGBA(image.Rect(0, 0, 1000, 1000)), nil
	})()
	_, err := sepia.Filter{}.Apply(t.Context(), fixture(t, "alpha.webp"))
	refused(t, err, imagery.Unreadable)
}

// tripReader calls trip once n bytes were read, and counts what is read after that.
type tripReader struct {
	r     io.Reader
	n     int
	trip  func()
	after int
}

func (r *tripReader) Read(p []byte) (int, error) {
	if r.n <= 0 {
		r.trip()
	}
	n, err := r.r.Read(p)
	if r.n <= 0 {
		r.after += n
	}
	r.n -= n
	return n, err
}

// TestCancelInterruptsTheDecoder: from the moment the caller gives up a real decoder gets no more bytes.
func TestCancelInterruptsTheDecoder(t *testing.T) {
	m := image.NewPaletted(image.Rect(0, 0, 300, 200), palette.Plan9)
	for i := range m.Pix {
		m.Pix[i] = uint8(noise8(i, 0, 0))
	}
	var noisy bytes.Buffer
	if err := gif.Encode(&noisy, m, nil); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		format sepia.Format
		raw    []byte
		decode func(io.Reader) (image.Image, error)
	}{
		"GIF":  {sepia.GIF, noisy.Bytes(), gif.Decode},
		"WebP": {sepia.WebP, heavyKinds["WebP lossless opaque"](300, 200), webp.Decode},
	} {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			trip := &tripReader{n: 10_000, trip: cancel}
			defer sepia.ReplaceDecoder(c.format, func(r io.Reader) (image.Image, error) {
				trip.r = r
				return c.decode(trip)
			})()
			_, err := sepia.Filter{}.Apply(ctx, c.raw)
			if err != context.Canceled {
				t.Errorf("got %v, want %v", err, context.Canceled)
			}
			if trip.after != 0 {
				t.Errorf("the decoder read %d more bytes", trip.after)
			}
		})
	}
}

func TestTooSlowIsTheFaultOfThePhoto(t *testing.T) {
	raw, baseline := fixture(t, "progressive.jpg"), heavyKinds["JPEG 4:2:0"](64, 48)
	short := sepia.Filter{DecodeTimeout: time.Nanosecond}
	for name, raw := range map[string][]byte{"progressive": raw, "planes in many scans": repeated(baseline, 9),
		"planes in many scans, turned": withSegment(repeated(baseline, 9), exifSegment(6)),
		"RGB in many scans":            repeated(heavyKinds["JPEG RGB"](64, 48), 9)} {
		t.Run(name, func(t *testing.T) {
			_, err := short.Apply(t.Context(), raw)
			if bad := refused(t, err, imagery.Unreadable); bad.Reason != "It takes too long to decode." {
				t.Errorf("the reason is %q", bad.Reason)
			}
		})
	}
	if _, err := short.Apply(t.Context(), baseline); err != nil {
		t.Errorf("an ordinary JPEG has no limit, got %v", err)
	}
	// A deadline of the caller is not.
	ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
	defer cancel()
	if _, err := (sepia.Filter{}).Apply(ctx, raw); err != context.DeadlineExceeded {
		t.Errorf("got %v, want %v", err, context.DeadlineExceeded)
	}
}

// countdown is a context that ends after it has been asked n times.
type countdown struct {
	context.Context
	n     int64
	asked atomic.Int64
}

func (c *countdown) Err() error {
	if c.asked.Add(1) > c.n {
		return context.Canceled
	}
	return nil
}

// TestCancelAtEveryPoint gives up at each look that Apply takes at its context. There is one for each megabyte of
// pixels or each strip, and one for each piece that the encoder writes.
func TestCancelAtEveryPoint(t *testing.T) {
	deep := pngFile{width: 500, height: 400, depth: 8, colour: 6, sample: noise8, level: 1}
	flat := pngFile{width: 1200, height: 1200, depth: 8, colour: 6, level: 1,
		sample: func(x, y, c int) uint16 { return 0 }}
	photo := jpegFile{width: 600, height: 300,
		components: []jpegPlane{{id: 1, h: 2, v: 2}, {id: 2, h: 1, v: 1}, {id: 3, h: 1, v: 1}}}
	for name, c := range map[string]struct {
		raw   []byte
		looks int64
	}{
		"PNG that hardly compresses": {deep.bytes(), 800_000 / (64 << 10)},
		"PNG of nothing":             {flat.bytes(), 5_760_000 / (1 << 20)},
		"JPEG":                       {photo.bytes(), 300 / 16},
	} {
		t.Run(name, func(t *testing.T) {
			full := &countdown{Context: t.Context(), n: 1 << 30}
			if _, err := (sepia.Filter{}).Apply(full, c.raw); err != nil {
				t.Fatal(err)
			}
			asked := full.asked.Load()
			if asked < c.looks {
				t.Errorf("looked %d times at the context, want %d", asked, c.looks)
			}
			for n := int64(0); n < asked; n += 1 + asked/10 {
				_, err := sepia.Filter{}.Apply(&countdown{Context: t.Context(), n: n}, c.raw)
				if err != context.Canceled {
					t.Errorf("giving up at look %d: got %v, want %v", n, err, context.Canceled)
				}
			}
		})
	}
}

func TestDamagedPhotosAreRefusedInWords(t *testing.T) {
	for _, name := range []string{"progressive.jpg", "alpha.png", "lossy.webp", "lossless.webp", "alpha.webp"} {
		t.Run(name, func(t *testing.T) {
			raw := fixture(t, name)
			for i := len(raw) / 3; i < len(raw); i += 17 {
				broken := bytes.Clone(raw)
				broken[i] ^= 0x55
				if _, err := (sepia.Filter{}).Apply(t.Context(), broken); err != nil {
					refused(t, err, imagery.Unreadable)
				}
			}
		})
	}
}

func TestFilterIsSafeForConcurrentUse(t *testing.T) {
	raw := fixture(t, "alpha.png")
	f := sepia.Filter{}
	res, err := f.Apply(t.Context(), raw)
	if err != nil {
		t.Fatal(err)
	}
	want := body(t, res)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			got, err := f.Apply(context.Background(), raw)
			if err != nil || !bytes.Equal(body(t, got), want) {
				t.Errorf("another result (%v)", err)
			}
		})
	}
	wg.Wait()
}

// TestInspectOfFilter: the port's Inspect is the package's, with the limit of the filter.
func TestInspectOfFilter(t *testing.T) {
	raw := fixture(t, "alpha.png")
	p, err := sepia.Inspect(bytes.NewReader(raw), 0)
	if err != nil {
		t.Fatal(err)
	}
	want := imagery.Cost{Memory: p.Peak(), Work: p.Work(), Size: int64(len(raw))}
	if c, err := (sepia.Filter{}).Inspect(raw); err != nil || c != want || c.Memory <= 0 {
		t.Errorf("%+v, %v; want %+v", c, err, want)
	}
	small := sepia.Filter{MaxPixels: int64(p.Width*p.Height) - 1}
	_, err = small.Inspect(raw)
	refused(t, err, imagery.Unreadable)
	_, err = small.Apply(t.Context(), raw)
	refused(t, err, imagery.Unreadable)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("%v asks for more bytes", err)
	}
}
