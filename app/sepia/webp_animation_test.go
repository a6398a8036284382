package sepia_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"io"
	"testing"

	"imagery/app/imagery"
	"imagery/app/sepia"
)

// webpAnimation puts simple files onto a canvas, each as a frame at a place.
func webpAnimation(width, height int, frames ...webpFrame) []byte {
	const animated, alpha = 2, 0x10
	background := []byte{1, 2, 3, 255, 0, 0} // an opaque colour, which browsers ignore
	chunks := []webpChunk{webpCanvas(width, height, animated|alpha), {"ANIM", background}}
	for _, f := range frames {
		chunks = append(chunks, f.chunk())
	}
	return webpFile(chunks...)
}

// webpFrame is a frame of an animation.
type webpFrame struct {
	file          []byte
	x, y          int // even
	width, height int
}

func (f webpFrame) chunk() webpChunk {
	var b []byte
	for _, v := range []int{f.x / 2, f.y / 2, f.width - 1, f.height - 1, 100} {
		b = append(b, byte(v), byte(v>>8), byte(v>>16))
	}
	b = append(b, 1) // flags
	for _, c := range webpChunks(f.file) {
		if c.id != "VP8X" {
			b = append(b, webpFile(c)[12:]...)
		}
	}
	return webpChunk{"ANMF", b}
}

// on returns a transparent canvas with p at a place.
func (p pixels) on(width, height, left, top int) pixels {
	return pixels{width, height, func(x, y int) color.NRGBA {
		if !image.Pt(x, y).In(image.Rect(left, top, left+p.width, top+p.height)) {
			return color.NRGBA{}
		}
		return p.at(x-left, y-top)
	}}
}

// TestAnimatedWebP: the first frame is the photo, on a canvas that is transparent around it.
func TestAnimatedWebP(t *testing.T) {
	second := webpFrame{webpFile(webpChunk{"VP8L", webpLossless(3, 3, func(x, y int) uint32 { return 0xff << 24 })}),
		0, 0, 3, 3}
	for _, name := range []string{"lossy", "edges", "alpha", "lossless"} {
		still, first := fixture(t, name+".webp"), straightPixels(libwebp(t, name))
		w, h := first.width, first.height
		t.Run(name+" on all of the canvas", func(t *testing.T) {
			raw := webpAnimation(w, h, webpFrame{still, 0, 0, w, h}, second)
			got, err := sepia.Filter{}.Apply(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			want, err := sepia.Filter{}.Apply(t.Context(), still)
			if err != nil {
				t.Fatal(err)
			}
			if got.Ext != want.Ext || !bytes.Equal(body(t, got), body(t, want)) {
				t.Error("it makes another file than the frame as a still picture")
			}
		})
		for i, at := range [][2]int{{0, 0}, {6, 4}, {0, 2}, {8, 0}} {
			for _, parts := range []int{1, 7 * 4 * (w + 8)} {
				for _, o := range []int{1, 6, 8} {
					t.Run(fmt.Sprintf("%s at %v in parts of %d, turned %d", name, at, parts, o), func(t *testing.T) {
						defer sepia.TurnInParts(parts)()
						width, height := at[0]+w+i, at[1]+h+3-i
						raw := webpAnimation(width, height, webpFrame{still, at[0], at[1], w, h}, second)
						raw = append(raw, webpFile(webpChunk{"EXIF", exif(uint16(o))})[12:]...)
						compare(t, apply(t, raw, "png"), first.on(width, height, at[0], at[1]).sepiaOf(o), 0)
					})
				}
			}
		}
	}
}

// TestAnimatedWebPRefused: a frame that is not on its canvas, a canvas that is too large, and no frame at all.
func TestAnimatedWebPRefused(t *testing.T) {
	still := fixture(t, "lossy.webp")
	frame := func(x, y, w, h int) webpFrame { return webpFrame{still, x, y, w, h} }
	for name, c := range map[string]struct {
		raw   []byte
		final bool // more bytes cannot help
	}{
		"over the right side":   {webpAnimation(50, 40, frame(8, 0, 43, 29)), true},
		"over the bottom":       {webpAnimation(50, 40, frame(0, 12, 43, 29)), true},
		"far away":              {webpAnimation(50, 40, frame(1<<24, 1<<24, 43, 29)), true},
		"of another size":       {webpAnimation(50, 40, frame(0, 0, 42, 29)), true},
		"without a canvas":      {webpFile(frame(0, 0, 43, 29).chunk()), true},
		"canvas of a terapixel": {webpAnimation(1<<24, 1<<24, frame(0, 0, 43, 29)), true},
		"canvas over the limit": {webpAnimation(10_000, 5_001, frame(0, 0, 43, 29)), true},
		"no frame":              {webpAnimation(50, 40), false},
		"an empty frame":        {webpAnimation(50, 40, webpFrame{webpFile(), 0, 0, 43, 29}), false},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sepia.Inspect(bytes.NewReader(c.raw), 0)
			refused(t, err, imagery.Unreadable)
			if final := !errors.Is(err, io.ErrUnexpectedEOF); final != c.final {
				t.Errorf("refused for good: %v, want %v", final, c.final)
			}
		})
	}
}

// TestWebPThatLies: the length in the head of the file, bytes behind it and damaged metadata do not matter.
func TestWebPThatLies(t *testing.T) {
	simple := fixture(t, "lossy.webp")
	whole, err := sepia.Filter{}.Apply(t.Context(), simple)
	if err != nil {
		t.Fatal(err)
	}
	length := func(d int) []byte {
		raw := extendWebP(simple, 43, 29, exif(1))
		binary.LittleEndian.PutUint32(raw[4:], uint32(len(raw)-8+d))
		return raw
	}
	for name, raw := range map[string][]byte{
		"a length too short": length(-10), "too long": length(10), "of 0": length(8 - len(length(0))),
		"extra bytes":  append(bytes.Clone(simple), "and more"...),
		"damaged EXIF": extendWebP(simple, 43, 29, []byte("II*\x00\xff\xff\xff\xff")),
		"cut EXIF":     extendWebP(simple, 43, 29, exif(1))[:len(extendWebP(simple, 43, 29, exif(1)))-60],
	} {
		t.Run(name, func(t *testing.T) {
			res, err := sepia.Filter{}.Apply(t.Context(), raw)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(body(t, res), body(t, whole)) || res.Warning != "" {
				t.Errorf("it makes another picture; warning %q", res.Warning)
			}
		})
	}
}

// TestFramesAreNotDecoded: later frames may be damaged, and 100,000 of them take no memory.
func TestFramesAreNotDecoded(t *testing.T) {
	frames := []webpFrame{{fixture(t, "lossy.webp"), 0, 0, 43, 29}}
	for range 100_000 {
		frames = append(frames, webpFrame{webpFile(webpChunk{"VP8L", []byte("damaged")}), 0, 0, 1, 1})
	}
	raw := webpAnimation(43, 29, frames...)
	if allocated := allocates(func() {
		if _, err := sepia.Inspect(bytes.NewReader(raw), 0); err != nil {
			t.Error(err)
		}
	}); allocated > 128<<10 {
		t.Errorf("Inspect allocated %d bytes", allocated)
	}
	apply(t, raw, "jpg")
}
