package jfif

import (
	"math"
	"sync"
)

const exactBits = 14

// cosines has, by sample and coefficient, the factors of the inverse transform, with exactBits behind the point.
var cosines = sync.OnceValue(func() *[8][8]int64 {
	var t [8][8]int64
	for x := range t {
		for u := range t[x] {
			f := math.Cos(float64(2*x+1)*float64(u)*math.Pi/16) / 2
			if u == 0 {
				f = math.Sqrt2 / 4
			}
			t[x][u] = int64(math.RoundToEven(f * (1 << exactBits)))
		}
	}
	return &t
})

// exact writes the samples of a block of any coefficients. It is slow, and only for those that are too large for idct,
// as no encoder makes them of a photo.
func exact(c *block, q *quantizers, dst []byte, stride int) {
	t := cosines()
	var b, rows [64]int64
	for _, quantum := range q.quanta {
		b[quantum.z] = int64(c[quantum.z]) * quantum.step // 31 bits, and a pass adds less than 16
	}
	for i := range rows {
		for u := range 8 {
			rows[i] += t[i%8][u] * b[i&^7+u]
		}
	}
	for i := range rows {
		sum := int64(128)<<(2*exactBits) + 1<<(2*exactBits-1)
		for v := range 8 {
			sum += t[i/8][v] * rows[8*v+i%8]
		}
		dst[i/8*stride+i%8] = uint8(min(max(sum>>(2*exactBits), 0), 255))
	}
}
