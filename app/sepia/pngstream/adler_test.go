package pngstream

import (
	"bytes"
	"hash/adler32"
	"math/rand/v2"
	"testing"
)

// TestAdler compares with hash/adler32, with vectors and without: every length up to several pieces, in two parts, of
// noise and of the largest bytes.
func TestAdler(t *testing.T) {
	defer func(has bool) { vector = has }(vector)
	testAdler(t)
	vector = false
	testAdler(t)
}

func testAdler(t *testing.T) {
	large := bytes.Repeat([]byte{255}, 200_000)
	if got, want := adler(1, large), adler32.Checksum(large); got != want {
		t.Errorf("200 kB: got %08x, want %08x", got, want)
	}
	noise, high := make([]byte, 2000), make([]byte, 2000)
	random := rand.New(rand.NewPCG(5, 6))
	for i := range noise {
		noise[i], high[i] = byte(random.Uint32()), 255
	}
	for _, data := range [][]byte{noise, high} {
		sum := uint32(1)
		for n := range data {
			if got, want := adler(adler(1, data[:n/3]), data[n/3:n]), adler32.Checksum(data[:n]); got != want {
				t.Fatalf("%d bytes: got %08x, want %08x", n, got, want)
			}
			sum = adler(sum, data[:n])
		}
		whole := adler32.New()
		for n := range data {
			whole.Write(data[:n])
		}
		if sum != whole.Sum32() {
			t.Errorf("2 MB in parts: got %08x, want %08x", sum, whole.Sum32())
		}
	}
}

func BenchmarkAdler(b *testing.B) {
	data := make([]byte, 64<<10)
	b.Run("own", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			adler(1, data)
		}
	})
	b.Run("standard", func(b *testing.B) {
		b.SetBytes(int64(len(data)))
		for b.Loop() {
			adler32.Checksum(data)
		}
	})
}
