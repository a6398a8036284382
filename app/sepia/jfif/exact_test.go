package jfif_test

import (
	"math"
	"math/rand/v2"
	"testing"

	"imagery/app/sepia/jfif"
)

// naive is the inverse transform by its definition. c is in natural order.
func naive(c *[64]float64) (samples [64]float64) {
	for i := range samples {
		for z, v := range c {
			samples[i] += v * basis[i%8][z%8] * basis[i/8][z/8]
		}
		samples[i] = min(max(math.Round(samples[i]+128), 0), 255)
	}
	return samples
}

// checkExact fails unless the samples of a block are those of the definition, rounded and clamped, within a level.
func checkExact(t *testing.T, name string, c *[64]int16, step uint16) {
	t.Helper()
	var products [64]float64
	for z, v := range c {
		products[z] = float64(v) * float64(step)
	}
	want, got := naive(&products), jfif.Exact(c, step)
	for i := range got {
		if math.Abs(float64(got[i])-want[i]) > 1 {
			t.Fatalf("%s: sample %d is %d, want %v", name, i, got[i], want[i])
		}
	}
}

// TestExactByDefinition has random blocks of up to four times the coefficients of an encoder, from sparse to full.
func TestExactByDefinition(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	inner := 0
	for range 3000 {
		var c [64]int16
		most := 1 << (2 + random.IntN(9))
		for range 1 + random.IntN(64) {
			c[random.IntN(64)] = int16(random.IntN(2*most+1) - most)
		}
		checkExact(t, "random", &c, uint16(1+random.IntN(4)))
		for _, v := range jfif.Exact(&c, 1) {
			if 0 < v && v < 255 {
				inner++
			}
		}
	}
	if inner < 10_000 {
		t.Errorf("only %d samples were not clamped, too few to tell", inner)
	}
}

// TestExactAtItsLimits has the largest coefficients that a file can store, with the largest steps: each alone, and all.
func TestExactAtItsLimits(t *testing.T) {
	for _, step := range []uint16{1, 255, 256, math.MaxUint16} {
		for _, v := range []int16{math.MinInt16, math.MaxInt16} {
			var all, turns [64]int16
			for z := range all {
				var one [64]int16
				one[z] = v
				checkExact(t, "one coefficient", &one, step)
				all[z], turns[z] = v, v
				if z%2 == 1 {
					turns[z] = -1 - v
				}
			}
			checkExact(t, "all coefficients", &all, step)
			checkExact(t, "opposite coefficients", &turns, step)
		}
	}
}
