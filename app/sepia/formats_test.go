package sepia_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"os"
	"path/filepath"
	"testing"

	"imagery/app/imagery"
	"imagery/app/sepia"
	"imagery/app/testing/short"
)

// apply returns the result, decoded.
func apply(t *testing.T, raw []byte, wantExt string) image.Image {
	t.Helper()
	res, err := sepia.Filter{}.Apply(context.Background(), raw)
	if err != nil {
		t.Fatalf("apply: %v", err)
	}
	if res.Ext != wantExt {
		t.Fatalf("the result is a %s, want %s", res.Ext, wantExt)
	}
	decode, contentType := png.Decode, "image/png"
	if res.Ext == "jpg" {
		decode, contentType = jpeg.Decode, "image/jpeg"
	}
	if res.ContentType != contentType {
		t.Errorf("content type %q, want %q", res.ContentType, contentType)
	}
	m, err := decode(res.Body)
	if err != nil {
		t.Fatalf("decode the result: %v", err)
	}
	return m
}

// body returns the bytes of a result.
func body(t testing.TB, res imagery.Result) []byte {
	t.Helper()
	if _, err := res.Body.Seek(0, io.SeekStart); err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(res.Body)
	if err != nil || int64(len(b)) != res.Body.Size() {
		t.Fatalf("read %d bytes of %d: %v", len(b), res.Body.Size(), err)
	}
	return b
}

func fixture(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// scatter is a sample of any depth that depends on everything.
func scatter(x, y, c int) uint16 { return uint16((x*40503 ^ y*31393 ^ c*52391) * 2654435) }

func TestPNGOfEveryKind(t *testing.T) {
	depths := map[byte][]byte{0: {1, 2, 4, 8, 16}, 2: {8, 16}, 3: {1, 2, 4, 8}, 4: {8, 16}, 6: {8, 16}}
	for colour, ds := range depths {
		for _, depth := range ds {
			for _, interlaced := range []bool{false, true} {
				for _, transparent := range []bool{false, true} {
					if transparent && colour >= 4 {
						continue // they have alpha of their own
					}
					name := fmt.Sprintf("colour %d depth %d interlaced %v transparent %v", colour, depth, interlaced,
						transparent)
					t.Run(name, func(t *testing.T) {
						f, want := pngOfKind(colour, depth, interlaced, transparent)
						compare(t, apply(t, f.bytes(), "png"), want.sepiaOf(1), 0)
					})
				}
			}
		}
	}
}

// pngOfKind returns a file and what it shows.
func pngOfKind(colour, depth byte, interlaced, transparent bool) (pngFile, pixels) {
	f := pngFile{width: 37, height: 23, depth: depth, colour: colour, interlaced: interlaced, level: 6}
	most := uint16(1<<depth - 1)
	f.sample = func(x, y, c int) uint16 {
		if x < 8 && y < 8 {
			return uint16(c) & most // a patch of the transparent colour
		}
		return scatter(x, y, c) & most
	}
	if colour == 3 {
		for i := range 3 << depth {
			f.palette = append(f.palette, byte(i*53))
		}
	}
	switch {
	case transparent && colour == 0:
		f.transparency = []byte{0, 0}
	case transparent && colour == 2:
		f.transparency = []byte{0, 0, 0, 1, 0, 2}
	case transparent && colour == 3:
		f.transparency = []byte{0, 100}
	}
	eight := func(v uint16) uint8 {
		if depth == 16 {
			return uint8(v >> 8)
		}
		return uint8(int(v) * 255 / int(most))
	}
	at := func(x, y int) color.NRGBA {
		s := func(c int) uint16 { return f.sample(x, y, c) }
		v := func(c int) uint8 { return eight(s(c)) }
		switch colour {
		case 0:
			if transparent && s(0) == 0 {
				return color.NRGBA{}
			}
			return color.NRGBA{v(0), v(0), v(0), 255}
		case 2:
			if transparent && s(0) == 0 && s(1) == 1 && s(2) == 2 {
				return color.NRGBA{v(0), v(1), v(2), 0}
			}
			return color.NRGBA{v(0), v(1), v(2), 255}
		case 3:
			i, alpha := int(s(0)), uint8(255)
			if i < len(f.transparency) {
				alpha = f.transparency[i]
			}
			return color.NRGBA{f.palette[3*i], f.palette[3*i+1], f.palette[3*i+2], alpha}
		case 4:
			return color.NRGBA{v(0), v(0), v(0), v(1)}
		}
		return color.NRGBA{v(0), v(1), v(2), v(3)}
	}
	return f, pixels{f.width, f.height, at}
}

func TestPNGOfAllColours(t *testing.T) {
	short.Skip(t, "a photo of 16 million colours")
	in := image.NewNRGBA(image.Rect(0, 0, 4096, 4096))
	for i := range 1 << 24 {
		copy(in.Pix[4*i:], []byte{byte(i >> 16), byte(i >> 8), byte(i), byte(i % 251)})
	}
	var file bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestSpeed}).Encode(&file, in); err != nil {
		t.Fatal(err)
	}
	out := apply(t, file.Bytes(), "png").(*image.NRGBA)
	next := 0
	got := allColours(func(pix []byte) { next += copy(pix, out.Pix[next:]) })
	if got != golden {
		t.Errorf("the result has %s of all colours, want %s", got, golden)
	}
	for i := range 1 << 24 {
		if out.Pix[4*i+3] != byte(i%251) {
			t.Fatalf("alpha of pixel %d is %d, want %d", i, out.Pix[4*i+3], byte(i%251))
		}
	}
}

// wave is a smooth sample, so that JPEG keeps it nearly as it is.
func wave(c int) func(x, y int) uint8 {
	return func(x, y int) uint8 { return uint8(40 + c*30 + x*3 + (y*(c+1))%60) }
}

var adobeSegment = func(transform byte) []byte {
	return jpegSegment(0xee, append([]byte("Adobe\x00\x64\x00\x00\x00\x00"), transform)...)
}

func TestJPEGOfEveryKind(t *testing.T) {
	planes := func(ids string, hv ...byte) (out []jpegPlane) {
		for i := range ids {
			out = append(out, jpegPlane{ids[i], hv[i] >> 4, hv[i] & 0xf, wave(i)})
		}
		return out
	}
	for name, f := range map[string]jpegFile{
		"grey":               {components: planes("1", 0x11)},
		"grey, odd sampling": {components: planes("1", 0x21)},
		"4:4:4":              {components: planes("123", 0x11, 0x11, 0x11)},
		"4:2:2":              {components: planes("123", 0x21, 0x11, 0x11)},
		"4:2:0":              {components: planes("123", 0x22, 0x11, 0x11)},
		"4:4:0":              {components: planes("123", 0x12, 0x11, 0x11)},
		"4:1:1":              {components: planes("123", 0x41, 0x11, 0x11)},
		"4:1:0":              {components: planes("123", 0x42, 0x11, 0x11)},
		"RGB":                {components: planes("RGB", 0x11, 0x11, 0x11)},
		"RGB by Adobe":       {components: planes("123", 0x11, 0x11, 0x11), segments: [][]byte{adobeSegment(0)}},
		"CMYK":               {components: planes("CMYK", 0x11, 0x11, 0x11, 0x11), segments: [][]byte{adobeSegment(0)}},
		"YCCK":               {components: planes("1234", 0x22, 0x11, 0x11, 0x22), segments: [][]byte{adobeSegment(2)}},
	} {
		for _, progressive := range []bool{false, true} {
			f.width, f.height, f.progressive = 43, 29, progressive
			t.Run(fmt.Sprintf("%s progressive %v", name, progressive), func(t *testing.T) { testJPEG(t, f.bytes(), 1) })
		}
	}
	t.Run("of another encoder", func(t *testing.T) { testJPEG(t, fixture(t, "progressive.jpg"), 1) })
}

// testJPEG compares what reaches the encoder with the oracle's pixels, or with what the planes of a JPEG hold of them.
// Because the decoder does not round like image/jpeg, they may differ by 1 level of each channel in the mean. And it
// compares the result with what image/jpeg makes of the oracle's pixels at quality 90.
func testJPEG(t *testing.T, raw []byte, orientation int) {
	t.Helper()
	source, err := jpeg.Decode(bytes.NewReader(raw))
	if err != nil {
		t.Fatal(err)
	}
	rgba := image.NewRGBA(source.Bounds())
	draw.Draw(rgba, rgba.Rect, source, image.Point{}, draw.Src)
	want := straightPixels(rgba).sepiaOf(orientation)
	got := decoded(t, raw)
	if _, planes := got.(*image.YCbCr); planes {
		want := straightPixels(want.inPlanes())
		compareMean(t, got, want, 1, 6)
	} else {
		compareMean(t, got, want, 1, 6)
	}

	final := image.NewRGBA(image.Rect(0, 0, want.width, want.height))
	for y := range want.height {
		for x := range want.width {
			final.Set(x, y, want.at(x, y))
		}
	}
	var file bytes.Buffer
	if err := jpeg.Encode(&file, final, &jpeg.Options{Quality: 90}); err != nil {
		t.Fatal(err)
	}
	decoded, err := jpeg.Decode(&file)
	if err != nil {
		t.Fatal(err)
	}
	compareMean(t, apply(t, raw, "jpg"), straightPixels(decoded), 2, 12)
}

// TestCMYKRed guards against the ink being inverted in the tests' writer and the decoder alike: Adobe stores 255 for no
// ink.
func TestCMYKRed(t *testing.T) {
	full := func(v uint8) func(x, y int) uint8 { return func(x, y int) uint8 { return v } }
	raw := jpegFile{width: 16, height: 16, segments: [][]byte{adobeSegment(0)}, components: []jpegPlane{
		{1, 1, 1, full(255)}, {2, 1, 1, full(0)}, {3, 1, 1, full(0)}, {4, 1, 1, full(255)}}}.bytes()
	red := pixels{16, 16, func(x, y int) color.NRGBA { return color.NRGBA{255, 0, 0, 255} }}
	compare(t, decoded(t, raw), red.sepiaOf(1), 2)
}
