package pngstream

import (
	"bytes"
	"math/rand/v2"
	"testing"
)

// TestUnfilter compares the functions for certain distances, with vectors and without, with that for any. Rows are
// noise, and of the smallest and the largest bytes, between which all comparisons turn.
func TestUnfilter(t *testing.T) {
	defer func(has bool) { vector = has }(vector)
	noise := rand.New(rand.NewPCG(7, 8))
	fill := func(n, kind int) []byte {
		b := make([]byte, n)
		for i := range b {
			switch b[i] = byte(noise.Uint32()); kind {
			case 1:
				b[i] &= 3
			case 2:
				b[i] = -(b[i] & 1)
			}
		}
		return b
	}
	for _, vector = range []bool{vector, false} {
		for width := 1; width < 70; width++ {
			for kind := range 9 {
				for _, distance := range []int{3, 4} {
					row, above := fill(width*distance+9, kind%3), fill(width*distance+9, kind/3)
					got, want := bytes.Clone(row), bytes.Clone(row)
					n := width * distance
					for filter, reference := range map[byte]func(){
						filterSub:     func() { subN(want[:n], distance) },
						filterAverage: func() { averageN(want[:n], above, distance) },
						filterPaeth:   func() { paethN(want[:n], above, distance) },
					} {
						reference()
						if !unfilter(filter, got[:n], above, distance) || !bytes.Equal(got, want) {
							t.Fatalf("filter %d, vectors %v, %d pixels of %d bytes:\n% x, want\n% x",
								filter, vector, width, distance, got, want)
						}
					}
				}
			}
		}
	}
}

func BenchmarkPaeth(b *testing.B) {
	defer func(has bool) { vector = has }(vector)
	row, above := make([]byte, 3*4096), make([]byte, 3*4096)
	for i := range row {
		row[i], above[i] = byte(i*i>>5), byte(i*i>>7)
	}
	for name, on := range map[string]bool{"vectors": vector, "Go": false} {
		b.Run(name, func(b *testing.B) {
			vector = on
			b.SetBytes(int64(len(row)))
			for b.Loop() {
				unfilter(filterPaeth, row, above, 3)
			}
		})
	}
}
