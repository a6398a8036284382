package jfif

import (
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"testing"
)

// withVector calls f with both implementations of the transforms, if this processor has both.
func withVector(t testing.TB, f func(vectors bool)) {
	t.Helper()
	if !vector {
		t.Skip("this processor has no vector instructions that are used")
	}
	defer func() { vector = true }()
	for _, vector = range [2]bool{true, false} {
		f(vector)
	}
}

// extremes calls f with blocks of samples that have the largest coefficients, and with those of every kind of photo.
func extremes(f func(name string, samples *[64]uint8)) {
	var s [64]uint8
	fill := func(name string, at func(x, y int) uint8) {
		for i := range s {
			s[i] = at(i%8, i/8)
		}
		f(name, &s)
	}
	// The samples with the largest coefficient v, u: 255 or 0 by the sign of its cosines.
	for u := range 64 {
		for _, high := range []uint8{0, 1, 255} {
			fill(fmt.Sprintf("energy %d %d", u, high), func(x, y int) uint8 {
				c := math.Cos(float64(2*x+1)*float64(u%8)*math.Pi/16) * math.Cos(float64(2*y+1)*float64(u/8)*math.Pi/16)
				if c < 0 {
					return 255 - high
				}
				return high
			})
		}
		fill(fmt.Sprintf("impulse %d", u), func(x, y int) uint8 { return 255 * uint8(1-min((8*y+x)^u, 1)) })
		fill(fmt.Sprintf("hole %d", u), func(x, y int) uint8 { return 255 * uint8(min((8*y+x)^u, 1)) })
	}
	for v := range 256 {
		fill(fmt.Sprintf("flat %d", v), func(x, y int) uint8 { return uint8(v) })
		fill(fmt.Sprintf("rows %08b", v), func(x, y int) uint8 { return -uint8(v >> y & 1) })
		fill(fmt.Sprintf("columns %08b", v), func(x, y int) uint8 { return -uint8(v >> x & 1) })
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 20000 {
		mean, noise := r.IntN(256), 1+r.IntN(1<<(1+i%8))
		fill(fmt.Sprintf("random %d", i), func(x, y int) uint8 {
			return uint8(min(max(mean+r.IntN(noise)-noise/2, 0), 255))
		})
		fill(fmt.Sprintf("black and white %d", i), func(x, y int) uint8 { return -uint8(r.IntN(2)) })
	}
}

func TestForwardVectors(t *testing.T) {
	qualities := map[int]*Encoder{}
	for _, quality := range []int{1, 10, 50, 75, 90, 95, 100} {
		qualities[quality] = NewEncoder(quality)
	}
	var fine, coarse pair
	withVector(t, func(bool) {}) // skips where there is nothing to compare
	extremes(func(name string, samples *[64]uint8) {
		for quality, e := range qualities {
			for table := range e.steps {
				withVector(t, func(vectors bool) {
					p := &fine
					if vectors {
						p = &coarse
					}
					p.transform(samples[:], samples[:], 8, &e.steps[table])
				})
				if fine.set != coarse.set {
					t.Fatalf("%s, quality %d: %064b, with vectors %064b", name, quality, fine.set, coarse.set)
				}
				for i := range fine.z {
					for k := range 64 {
						want := fine.z[i][k]
						if fine.set[i]>>k&1 == 0 {
							want = 0
						}
						if got := coarse.z[i][k]; got != want {
							t.Fatalf("%s, quality %d: [%d] is %d, with vectors %d", name, quality, k, want, got)
						}
					}
				}
			}
		}
	})
}

// TestForwardVectorsInPlace: blocks of a plane, with other samples around them.
func TestForwardVectorsInPlace(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	plane := make([]uint8, 64*32)
	for i := range plane {
		plane[i] = uint8(r.Uint32())
	}
	e := NewEncoder(90)
	var results [2][]byte
	withVector(t, func(vectors bool) {
		m := &image.YCbCr{Y: plane, Cb: plane[5:], Cr: plane[9:], YStride: 64, CStride: 64}
		m.Rect = image.Rect(0, 0, 48, 32)
		results[map[bool]int{true: 1}[vectors]] = e.Draft(nil, m, new(Counts))
	})
	if string(results[0]) != string(results[1]) || len(results[0]) < 1000 {
		t.Errorf("%d bytes, with vectors %d", len(results[0]), len(results[1]))
	}
}

// TestQuotients looks at every place where a quotient changes, for each step and coefficient. The quotients increase
// with the coefficient, so this covers all of them.
func TestQuotients(t *testing.T) {
	for size := 1; size <= 255; size++ {
		var q quantizer
		for k := range 64 {
			q.set(k, size)
			s := &q.steps[k]
			f := 8 * fdctFactors[s.z/8] * fdctFactors[s.z%8] * float64(size)
			most := 64 * 128. // the largest coefficient
			for _, i := range [2]uint8{s.z / 8, s.z % 8} {
				if i != 0 && i != 4 {
					f, most = f*fdctScale, most*fdctScale*1.4
				}
			}
			if most >= 1<<31 || s.scale != int64(int32(s.scale)) || s.shift < 33 {
				t.Fatalf("size %d, [%d]: the largest is %v, scale %d, shift %d", size, k, most, s.scale, s.shift)
			}
			quotient := func(x int64) int64 {
				at := s.z%8*8 + s.z/8
				own := (x*s.scale + 1<<(s.shift-1)) >> s.shift
				vectors := (int32(x*int64(q.scale[at])>>32) + q.half[at]) >> q.shift[at]
				if own != int64(vectors) || own != int64(int16(own)) {
					t.Fatalf("size %d, coefficient %d: %d becomes %d, with vectors %d", size, k, x, own, vectors)
				}
				return own
			}
			for n := range int64(most/f) + 1 {
				// The last that becomes n, which must be exact where f is an integer, for there are halves.
				last := int64(math.Floor((float64(n) + 0.5) * f))
				slack := last>>28 + 1
				if f == math.Trunc(f) {
					slack = 0
				}
				if a, b := quotient(last-slack), quotient(last+1+slack); a != n || b != n+1 {
					t.Fatalf("size %d, [%d]: %d and the next become %d and %d, not %d", size, k, last, a, b, n)
				}
				if a, b := quotient(-last+slack), quotient(-last-1-slack); a != -n || b != -n-1 {
					t.Fatalf("size %d, [%d]: %d and the next become %d and %d, not %d", size, k, -last, a, b, -n)
				}
				small := s.small & (1<<32 - 1)
				if n == 0 && (small > last+1 || 4*small <= last) {
					t.Fatalf("size %d, coefficient %d: zero below %d instead of %d", size, k, small, last)
				}
			}
		}
	}
}

func TestInverseVectors(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	var results [2][64 + 8]uint8
	n := 0
	compare := func(b *block, q *dequantizer, last int) {
		n++
		withVector(t, func(vectors bool) {
			results[map[bool]int{true: 1}[vectors]] = [72]uint8{64: 77}
			b.idct(q, last, results[map[bool]int{true: 1}[vectors]][:], 8)
		})
		if results[0] != results[1] {
			t.Fatalf("coefficients %v up to %d, factors %v: samples\n%v, with vectors\n%v", *b, last, *q,
				results[0], results[1])
		}
	}
	for i := range 200000 {
		var q dequantizer
		step := 1 + r.IntN(1<<(i%9))
		for z := range uint8(64) {
			q.set(z, step)
		}
		// Coefficients up to a position, with the energy that the decoder admits, or less.
		last := r.IntN(64)
		var v [64]float64
		norm := 0.
		for k := range last + 1 {
			if i%3 == 0 || r.IntN(last+1) < 4 {
				v[k] = r.Float64()*2 - 1
			}
			norm += v[k] * v[k]
		}
		most := math.Sqrt(maxEnergy) / float64(step)
		if i%2 == 0 {
			most *= r.Float64()
		}
		var b block
		for k := range last + 1 {
			b[zigzag[k]] = int16(v[k] * most / math.Sqrt(max(norm, 1e-9)))
		}
		compare(&b, &q, last)
	}
	// All of the energy in one coefficient, and in two.
	for z1 := range uint8(64) {
		for z2 := range uint8(64) {
			for _, sign := range [][2]int16{{1, 1}, {1, -1}, {-1, 1}, {-1, -1}} {
				var q dequantizer
				for z := range uint8(64) {
					q.set(z, 1)
				}
				var b block
				b[z1] = 1447 * sign[0]
				b[z2] = 1447 * sign[1]
				if z1 == z2 {
					b[z1] = 2047 * sign[0]
				}
				compare(&b, &q, 63)
			}
		}
	}
}
