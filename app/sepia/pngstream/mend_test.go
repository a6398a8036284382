package pngstream_test

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
	"testing"
	"testing/iotest"

	"imagery/app/sepia/pngstream"
)

// repaired returns the file that raw would be without faults outside of its rows.
func repaired(raw []byte) []byte {
	out, data := []byte(signature), []byte(nil)
	var f file
	for b := raw[len(signature):]; len(b) >= 8; {
		n := int(binary.BigEndian.Uint32(b))
		name, body := string(b[4:8]), b[8:min(8+n, len(b))]
		b = b[min(8+n, len(b)):]
		damaged := len(b) < 4 || binary.BigEndian.Uint32(b) != crc32.ChecksumIEEE(append([]byte(name), body...))
		b = b[min(4, len(b)):]
		switch {
		case name == "IDAT":
			data = append(data, body...)
			continue
		case data != nil:
			b = nil // the picture has ended
			continue
		case name == "IHDR":
			f = file{width: int(binary.BigEndian.Uint32(body)), height: int(binary.BigEndian.Uint32(body[4:])),
				depth: body[8], colour: body[9], interlaced: body[12] == 1}
		}
		if !ancillary(name) || !damaged {
			out = append(out, chunk(name, body)...)
		}
	}
	head := 2
	if data[1]&0x20 != 0 {
		head += 4
	}
	// Zeros, because compress/flate does not return the last symbol of data that has been cut.
	source := flate.NewReader(bytes.NewReader(append(data[head:], make([]byte, 16)...)))
	rows, _ := io.ReadAll(io.LimitReader(source, int64(len(f.rows()))))
	return append(append(out, chunk("IDAT", compress(rows, 1))...), chunk("IEND", nil)...)
}

// TestMended: a file whose rows are all there is read, and Mended tells its fault.
func TestMended(t *testing.T) {
	for _, interlaced := range []bool{false, true} {
		f := file{width: 20, height: 15, depth: 8, colour: 2, filter: -1, interlaced: interlaced,
			transparency: []byte{0, 1, 0, 0, 0, 3}}
		data, end := compress(f.rows(), 6), chunk("IEND", nil)
		whole := f.bytes()
		open := whole[:len(whole)-len(end)]
		wrong := func(name, body string) []byte {
			c := chunk(name, []byte(body))
			c[len(c)-1]++
			return c
		}
		before := func(c []byte) []byte {
			at := len(f.head())
			return append(append(bytes.Clone(whole[:at]), c...), whole[at:]...)
		}
		noTransparency := f
		noTransparency.transparency = nil
		badTransparency := append(append(noTransparency.head(), wrong("tRNS", string(f.transparency))...),
			whole[len(f.head()):]...)
		join := func(parts ...[]byte) []byte { return bytes.Join(parts, nil) }
		for name, c := range map[string]struct {
			raw  []byte
			want error
		}{
			"whole":                     {whole, nil},
			"extra bytes":               {join(whole, []byte("and more")), nil},
			"no IEND":                   {open, pngstream.ErrNoEnd},
			"cut in IEND":               {whole[:len(whole)-5], pngstream.ErrNoEnd},
			"cut in the last checksum":  {open[:len(open)-2], pngstream.ErrNoEnd},
			"cut before it":             {open[:len(open)-4], pngstream.ErrNoEnd},
			"cut in the rows' checksum": {open[:len(open)-7], pngstream.ErrNoEnd},
			"cut in a late chunk":       {join(open, chunk("tEXt", []byte("a comment"))[:12]), pngstream.ErrNoEnd},
			"zeros for IEND":            {join(open, make([]byte, 4096)), pngstream.ErrTail},
			"ones for IEND":             {join(open, bytes.Repeat([]byte{0xff}, 99)), pngstream.ErrTail},
			"wrong checksum of IEND":    {join(whole[:len(whole)-1], []byte{0}), pngstream.ErrTail},
			"a late PLTE":               {join(open, chunk("PLTE", make([]byte, 3)), end), pngstream.ErrTail},
			"a row more":                {f.withData(compress(append(f.rows(), make([]byte, 61)...), 6)), pngstream.ErrTail},
			"much garbage":              {f.withData(join(data, make([]byte, 5000))), pngstream.ErrTail},
			"no checksum of the rows":   {f.withData(data[:len(data)-4]), pngstream.ErrTail},
			"early text":                {before(wrong("tEXt", "Comment\x00text")), nil},
			"early Exif":                {before(wrong("eXIf", "MM")), nil},
			"early profile":             {before(wrong("iCCP", "profile\x00\x00x")), nil},
			"late text":                 {join(open, wrong("tEXt", "Comment\x00text"), end), nil},
			"transparency":              {badTransparency, pngstream.ErrTransparency},
			"transparency, and no IEND": {badTransparency[:len(badTransparency)-12], pngstream.ErrTransparency},
		} {
			if !same(t, name, c.raw) {
				t.Errorf("%s: refused", name)
				continue
			}
			if got, err := readAll(bytes.NewReader(c.raw)); got.mended != c.want {
				t.Errorf("%s: mended %v, %v; want %v", name, got.mended, err, c.want)
			}
		}
		// Damage to the picture itself is not passed over.
		sum := bytes.Clone(data)
		sum[len(sum)-1]++
		checksum := bytes.Clone(open)
		checksum[len(checksum)-1]++
		for name, raw := range map[string][]byte{
			"a row less":             f.withData(compress(f.rows()[:len(f.rows())-1], 6)),
			"wrong sum of the rows":  f.withData(sum),
			"wrong checksum of IDAT": join(checksum, end),
			"damaged palette":        before(wrong("PLTE", "rgb")),
		} {
			if same(t, name, raw) {
				t.Errorf("%s: accepted", name)
			}
		}
	}
}

// TestMendedNeverHidesAnError: an error of the file behind the last row is not taken for its end.
func TestMendedNeverHidesAnError(t *testing.T) {
	raw := file{width: 5, height: 5, depth: 8, colour: 2, filter: -1}.bytes()
	lost := errors.New("connection lost")
	for n := len(raw) - 20; n < len(raw); n++ {
		_, err := readAll(io.MultiReader(bytes.NewReader(raw[:n]), iotest.ErrReader(lost)))
		if !errors.Is(err, lost) {
			t.Errorf("after %d of %d bytes: got %v, want the reader's error", n, len(raw), err)
		}
	}
}
