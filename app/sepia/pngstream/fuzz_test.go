package pngstream_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"image/png"
	"testing"
)

// FuzzReader compares Reader with image/png: the same pixels, or both refuse. The fuzzer gets the file as it is, and a
// second time with the right checksums, which it would hardly find.
func FuzzReader(f *testing.F) {
	kinds(9, 7, func(_ string, kind file) {
		f.Add(kind.bytes())
		data := compress(kind.rows(), 6)
		f.Add(kind.withData(data[:5], nil, data[5:]))
		f.Add(kind.bytes()[:len(kind.bytes())-12])
		f.Add(kind.withData(append(data, "garbage"...)))
	})
	f.Fuzz(func(t *testing.T, raw []byte) {
		for _, b := range [][]byte{raw, withChecksums(raw, all)} {
			if c, err := png.DecodeConfig(bytes.NewReader(b)); err == nil && c.Width*c.Height > 1<<14 {
				return
			}
			same(t, "fuzz", b)
		}
	})
}

func all(string) bool { return true }

// ancillary reports whether a picture does not need a chunk.
func ancillary(name string) bool { return name[0]&0x20 != 0 }

// withChecksums returns a file in which the chunks that of selects have the right checksums.
func withChecksums(raw []byte, of func(name string) bool) []byte {
	out := bytes.Clone(raw)
	for b := out[min(len(signature), len(out)):]; len(b) >= 12; {
		n := int64(binary.BigEndian.Uint32(b))
		if n > int64(len(b)-12) {
			break
		}
		if of(string(b[4:8])) {
			binary.BigEndian.PutUint32(b[8+n:], crc32.ChecksumIEEE(b[4:8+n]))
		}
		b = b[12+n:]
	}
	return out
}
