package sepia_test

import (
	"bytes"
	"image"
	"image/color"
	"image/gif"
	"image/png"
	"testing"
)

// libwebp returns the pixels that the library makes of a fixture.
func libwebp(t *testing.T, name string) image.Image {
	t.Helper()
	m, err := png.Decode(bytes.NewReader(fixture(t, name+".png")))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestWebPOfEveryKind: the filter gets exactly the pixels of libwebp.
func TestWebPOfEveryKind(t *testing.T) {
	for name, ext := range map[string]string{"lossy": "jpg", "edges": "jpg", "alpha": "png", "lossless": "png"} {
		t.Run(name, func(t *testing.T) {
			want := straightPixels(libwebp(t, name)).sepiaOf(1)
			simple := fixture(t, name+".webp")
			for _, raw := range [][]byte{simple, extendWebP(simple, want.width, want.height, exif(1))} {
				got := decoded(t, raw)
				if _, planes := got.(*image.YCbCr); planes {
					compare(t, got, straightPixels(want.inPlanes()), 0)
				} else {
					compare(t, got, want, 0)
				}
				apply(t, raw, ext)
			}
		})
	}
}

// extendWebP makes the file a phone would write: a canvas, a colour profile, EXIF and XMP around the picture.
func extendWebP(simple []byte, width, height int, exif []byte) []byte {
	const everything = 0x20 | 0x10 | 0x08 | 0x04
	chunks := []webpChunk{webpCanvas(width, height, everything), {"ICCP", []byte("profile")}}
	for _, c := range webpChunks(simple) {
		if c.id != "VP8X" {
			chunks = append(chunks, c)
		}
	}
	return webpFile(append(chunks, webpChunk{"EXIF", exif}, webpChunk{"XMP ", []byte("<x>" + place + "</x>")})...)
}

func TestOpaqueLosslessWebPBecomesJPEG(t *testing.T) {
	pixel := func(x, y int) uint32 { return 0xff000000 | uint32(x*5)<<16 | uint32(y*7)<<8 | uint32(x+y) }
	raw := webpFile(webpChunk{"VP8L", webpLossless(33, 21, pixel)})
	want := pixels{33, 21, func(x, y int) color.NRGBA {
		return color.NRGBA{uint8(x * 5), uint8(y * 7), uint8(x + y), 255}
	}}
	compare(t, decoded(t, raw), straightPixels(want.sepiaOf(1).inPlanes()), 0)
	apply(t, raw, "jpg")
}

func TestGIF(t *testing.T) {
	var palette color.Palette
	for i := range 255 {
		palette = append(palette, color.RGBA{byte(i * 3), byte(i * 5), byte(i * 7), 255})
	}
	palette = append(palette, color.RGBA{})
	frame := func(r image.Rectangle, step int) *image.Paletted {
		m := image.NewPaletted(r, palette)
		for i := range m.Pix {
			m.Pix[i] = byte(i * step)
		}
		return m
	}
	screen := image.Rect(0, 0, 30, 20)
	for name, c := range map[string]struct {
		first      *image.Paletted
		interlaced bool
	}{
		"full":               {frame(screen, 7), false},
		"offset":             {frame(image.Rect(4, 3, 25, 19), 11), false},
		"interlaced":         {frame(screen, 13), true},
		"offset, interlaced": {frame(image.Rect(4, 3, 25, 19), 5), true},
	} {
		t.Run(name, func(t *testing.T) {
			first := c.first
			var file bytes.Buffer
			stored := first
			if c.interlaced {
				stored = interlacedRows(first)
			}
			err := gif.EncodeAll(&file, &gif.GIF{
				Image: []*image.Paletted{stored, frame(screen, 1)}, Delay: []int{1, 1},
				Config: image.Config{Width: screen.Dx(), Height: screen.Dy()},
			})
			if err != nil {
				t.Fatal(err)
			}
			if c.interlaced {
				// The flags of the first frame stand behind its rectangle.
				at := bytes.Index(file.Bytes(), []byte{',', byte(first.Rect.Min.X), 0, byte(first.Rect.Min.Y), 0})
				file.Bytes()[at+9] |= 0x40
			}
			want := pixels{screen.Dx(), screen.Dy(), func(x, y int) color.NRGBA {
				if !(image.Point{X: x, Y: y}).In(first.Rect) {
					return color.NRGBA{}
				}
				return color.NRGBAModel.Convert(first.At(x, y)).(color.NRGBA)
			}}
			compare(t, apply(t, file.Bytes(), "png"), want.sepiaOf(1), 0)
		})
	}
}

// interlacedRows returns the frame with its rows in the order in which an interlaced GIF has them.
func interlacedRows(m *image.Paletted) *image.Paletted {
	out, y := image.NewPaletted(m.Rect, m.Palette), 0
	for _, pass := range [][2]int{{0, 8}, {4, 8}, {2, 4}, {1, 2}} {
		for row := pass[0]; row < m.Rect.Dy(); row += pass[1] {
			copy(out.Pix[y*out.Stride:][:out.Stride], m.Pix[row*m.Stride:])
			y++
		}
	}
	return out
}
