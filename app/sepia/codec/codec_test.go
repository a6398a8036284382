//go:build !noheif

package codec

import (
	"bytes"
	"context"
	"errors"
	"image"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tetratelabs/wazero"

	"imagery/app/sepia/heif"
)

// picture returns the first coded picture of a photo of heif's tests.
func picture(t *testing.T, name string) (heif.Format, []byte) {
	t.Helper()
	file, err := os.ReadFile(filepath.Join("../heif/testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	m, err := heif.Parse(file)
	if err != nil {
		t.Fatal(err)
	}
	b, err := m.Plane.Tiles[0].File(file)
	if err != nil {
		t.Fatal(err)
	}
	return m.Format, b
}

const enough = 128 << 20

func TestDecode(t *testing.T) {
	for _, name := range []string{"alpha.avif", "alpha.heic", "grey.avif", "grid.avif", "seq.avif", "thumb.heic"} {
		format, file := picture(t, name)
		img, err := Decode(t.Context(), format, file, enough)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		t.Logf("%s: %T %v", name, img, img.Bounds())
		if c, ok := img.(interface{ Opaque() bool }); !ok || !c.Opaque() {
			t.Errorf("%s is not opaque", name)
		}
	}
}

// A limit that a picture exceeds ends only this picture.
func TestMemoryLimit(t *testing.T) {
	for name, limits := range map[string][]int64{"thumb.heic": {0, pageSize}, "grid.avif": {0, pageSize, 1 << 20}} {
		format, file := picture(t, name)
		for _, limit := range limits {
			if _, err := Decode(t.Context(), format, file, limit); !errors.Is(err, ErrMemory) {
				t.Errorf("%s in %d bytes: %v", name, limit, err)
			}
		}
		if _, err := Decode(t.Context(), format, file, enough); err != nil {
			t.Errorf("%s after it: %v", name, err)
		}
	}
}

func TestDamagedPictures(t *testing.T) {
	for _, name := range []string{"thumb.heic", "grid.avif"} {
		format, file := picture(t, name)
		for n := range len(file) {
			if n%7 == 0 {
				if _, err := Decode(t.Context(), format, file[:n], enough); err == nil && n < len(file)/2 {
					t.Errorf("%s without the bytes from %d on was decoded", name, n)
				}
			}
		}
		if _, err := Decode(t.Context(), format, file, enough); err != nil {
			t.Errorf("%s after it: %v", name, err)
		}
	}
}

// endless is a module with malloc and a decode that never returns: (module (memory (export "memory") 1)
// (func (export "malloc") (param i32) (result i32) i32.const 8) (func (export "decode") (loop (br 0)))).
const endless = "\x00asm\x01\x00\x00\x00" + "\x01\x09\x02\x60\x01\x7f\x01\x7f\x60\x00\x00" + "\x03\x03\x02\x00\x01" +
	"\x05\x03\x01\x00\x01" + "\x07\x1c\x03\x06memory\x02\x00\x06malloc\x00\x00\x06decode\x00\x01" +
	"\x0a\x0e\x02\x04\x00\x41\x08\x0b\x07\x00\x03\x40\x0c\x00\x0b\x0b"

func TestDeadlineEndsADecoderThatHangs(t *testing.T) {
	m, err := compile(wazero.NewRuntimeConfig(), []byte(endless))
	if err != nil {
		t.Fatal(err)
	}
	decoders["endless"] = &decoder{module: m, decode: func(c call, _ []byte) (image.Image, error) {
		_, err := c.do("decode")
		return nil, err
	}}
	defer delete(decoders, "endless")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := Decode(ctx, "endless", nil, enough); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the decoder ended with %v", err)
	}
}

// Without memory that is both written and executed, pictures are decoded all the same.
func TestInterpreter(t *testing.T) {
	format, file := picture(t, "thumb.heic")
	want, err := Decode(t.Context(), format, file, enough)
	if err != nil {
		t.Fatal(err)
	}
	wasm := unpacked(t, decoders[format])
	m, err := compile(wazero.NewRuntimeConfigInterpreter(), wasm)
	if err != nil {
		t.Fatal(err)
	}
	slow := &decoder{module: m, decode: decodeHEIC}
	decoders["slow"] = slow
	defer delete(decoders, "slow")
	got, err := Decode(t.Context(), "slow", file, enough)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.(*image.RGBA).Pix, want.(*image.RGBA).Pix) {
		t.Error("the interpreter decodes other pixels")
	}
}

func unpacked(t *testing.T, d *decoder) []byte {
	t.Helper()
	wasm, err := d.unpack()
	if err != nil {
		t.Fatal(err)
	}
	return wasm
}

// The computer's own libheif and libavif are not loaded.
func TestNoLibraryOfTheComputer(t *testing.T) {
	for _, name := range []string{"thumb.heic", "grid.avif"} {
		format, file := picture(t, name)
		if _, err := Decode(t.Context(), format, file, enough); err != nil {
			t.Fatal(err)
		}
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		t.Skip("this system does not list the libraries of a process: ", err)
	}
	for _, library := range []string{"libheif", "libavif", "libde265", "libaom", "libdav1d"} {
		if strings.Contains(string(maps), library) {
			t.Errorf("%s is loaded", library)
		}
	}
}
