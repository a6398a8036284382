package pngstream

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"hash/adler32"
	"io"
	"math/rand/v2"
	"testing"
	"testing/iotest"
)

// FuzzInflate compares inflater with compress/flate: the same bytes, and both accept the data or refuse it. The
// checksum is the right one, as the fuzzer would not find it.
func FuzzInflate(f *testing.F) {
	for _, data := range texts(2000) {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6} {
			f.Add(deflated(data, level))
		}
	}
	f.Add([]byte{3, 0})                                     // an empty block of the fixed code
	f.Add([]byte{5, 0xe0, 0x81, 8, 0, 0, 0, 0, 0, 0x90, 4}) // codes of one symbol
	f.Fuzz(func(t *testing.T, data []byte) {
		rest := bytes.NewReader(data)
		want, wantErr := io.ReadAll(io.LimitReader(flate.NewReader(rest), 1<<22))
		if len(want) == 1<<22 {
			return
		}
		end := len(data) - rest.Len()
		file := append([]byte{0x78, 0x9c}, data[:end]...)
		file = binary.BigEndian.AppendUint32(file, adler32.Checksum(want))
		for _, source := range []io.Reader{bytes.NewReader(file), iotest.OneByteReader(bytes.NewReader(file))} {
			inflater, err := newInflater(source)
			if err != nil {
				t.Fatal(err)
			}
			got, err := io.ReadAll(inflater)
			if (err == nil) != (wantErr == nil) || err == nil && !bytes.Equal(got, want) {
				t.Fatalf("got %d bytes and error %v, compress/flate has %d and %v", len(got), err, len(want), wantErr)
			}
		}
	})
}

// texts returns data of about so many bytes, with matches of all distances and lengths, and codes of all lengths.
func texts(size int) [][]byte {
	noise := rand.New(rand.NewPCG(3, 4))
	var skewed, mixed []byte
	for i := range size {
		v := byte(noise.Uint32()) >> noise.IntN(8) >> noise.IntN(4)
		skewed = append(skewed, v*v)
		switch n := len(mixed); {
		case i%50 == 0 && n > 300:
			from := n - 1 - noise.IntN(min(n-260, 40_000))
			mixed = append(mixed, mixed[from:min(n, from+noise.IntN(259))]...)
		case i%333 == 0 && n > 0:
			mixed = append(mixed, bytes.Repeat(mixed[n-min(n, 1+noise.IntN(9)):], 20)...)
		default:
			mixed = append(mixed, v)
		}
	}
	return [][]byte{nil, {1}, make([]byte, size), []byte("abcabcabcabcabcabcabcabcabc"), skewed, mixed}
}

func deflated(data []byte, level int) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		panic(err)
	}
	w.Write(data[:len(data)/2])
	w.Flush()
	w.Write(data[len(data)/2:])
	w.Close()
	return b.Bytes()
}

// TestReadsNoByteTooMany: behind the data, the source has the same buffered as with compress/flate.
func TestReadsNoByteTooMany(t *testing.T) {
	for _, data := range texts(100_000) {
		for _, level := range []int{flate.HuffmanOnly, flate.NoCompression, 1, 6} {
			body := deflated(data, level)
			for _, tail := range []int{0, 1, 4000, 5000, 9999} {
				file := append([]byte{0x78, 0x9c}, body...)
				file = binary.BigEndian.AppendUint32(file, adler32.Checksum(data))
				file = append(file, make([]byte, tail)...)
				own := bytes.NewReader(file)
				f, err := newInflater(own)
				if err != nil {
					t.Fatal(err)
				}
				if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, data) {
					t.Fatalf("level %d: got %d bytes and %v", level, len(got), err)
				}
				standard := bytes.NewReader(file)
				src := bufio.NewReader(standard)
				src.Discard(2)
				io.Copy(io.Discard, flate.NewReader(src))
				src.Discard(4)
				if own.Len() != standard.Len() {
					t.Errorf("level %d, tail %d: %d bytes are left, want %d", level, tail, own.Len(), standard.Len())
				}
			}
		}
	}
}
