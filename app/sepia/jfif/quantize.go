package jfif

import (
	"bytes"
	"math"
	"math/bits"
)

// quantizer has the steps of one table. The quotient of a coefficient x and f, which is its step times its factor of
// fdct, is the nearest integer, and of two the one closer to zero: scale is a little less than 2^n/f, for the n that
// leaves it 31 bits, and n is at least 33, so that the lower half of x*scale does not change the result.
type quantizer struct {
	// By column and row, as fdctAVX2 has the coefficients. shift is n-32, and half is 1<<(shift-1).
	scale, half, shift [64]int32
	steps              [64]step // in zigzag order
}

// step is the quantizer of one coefficient.
type step struct {
	z            uint8 // its natural position
	shift        uint8 // n
	scale        int64
	small, above int64 // x is 0 in both lanes, if x+small has no bit of above
}

// set sets the step of coefficient k in zigzag order.
func (q *quantizer) set(k, size int) {
	z := zigzag[k]
	f := 8 * fdctFactors[z/8] * fdctFactors[z%8] * float64(size)
	for _, i := range [2]uint8{z / 8, z % 8} {
		if i != 0 && i != 4 {
			f *= fdctScale
		}
	}
	n := 31 + math.Ilogb(f)
	scale := int64(math.Ceil(math.Ldexp(1/f, n))) - 1
	small := int64(1) << bits.Len64(uint64(f/2)) >> 1
	q.steps[k] = step{z, uint8(n), scale, small<<32 + small, ^((2*small-1)<<32 + 2*small - 1)}
	at := z%8*8 + z/8
	q.scale[at], q.half[at], q.shift[at] = int32(scale), 1<<(n-33), int32(n-32)
}

// pair has two quantized blocks.
type pair struct {
	w   [64]int64
	z   [2][64]int16 // in zigzag order; valid where the bit is set, and the first
	set [2]uint64    // bit k: coefficient k is not zero
}

// transform transforms and quantizes the block whose rows start in a, and the one in b, the rows being stride bytes
// apart.
func (p *pair) transform(a, b []byte, stride int, q *quantizer) {
	if vector {
		a, b = a[:7*stride+8], b[:7*stride+8]
		p.set = [2]uint64{fdctAVX2(&p.z[0], &a[0], stride, q), fdctAVX2(&p.z[1], &b[0], stride, q)}
		return
	}
	fdct(&p.w, a, b, stride)
	p.quantize(q)
}

func (p *pair) quantize(q *quantizer) {
	var set0, set1 uint64
	p.z[0][0], p.z[1][0] = 0, 0
	for k := range q.steps {
		t := &q.steps[k]
		x := p.w[t.z&63]
		if (x+t.small)&t.above == 0 {
			continue
		}
		lo, half := int64(int32(x)), int64(1)<<(t.shift&63)>>1
		q0 := (lo*t.scale + half) >> (t.shift & 63)
		q1 := ((x-lo)>>32*t.scale + half) >> (t.shift & 63)
		p.z[0][k], p.z[1][k] = int16(q0), int16(q1)
		if q0 != 0 {
			set0 |= 1 << k
		}
		if q1 != 0 {
			set1 |= 1 << k
		}
	}
	p.set = [2]uint64{set0, set1}
}

// zigzagShuffles are the masks with which fdctAVX2 brings the columns of a block into zigzag order. The lower half of a
// mask selects, from one column, coefficients of eight, and the upper half those opposite to them.
//
//lint:ignore U1000 used by assembly
var zigzagShuffles = func() (masks [20][32]uint8) {
	n := 0
	for k := 0; k < 32; k += 8 {
		for column := range uint8(8) {
			mask, used := [32]uint8(bytes.Repeat([]byte{0x80}, 32)), false // 0x80 selects none
			for i, z := range zigzag[k : k+8] {
				if z%8 != column {
					continue
				}
				row := z / 8
				mask[2*i], mask[2*i+1] = 2*row, 2*row+1
				mask[30-2*i], mask[31-2*i] = 14-2*row, 15-2*row
				used = true
			}
			if used {
				masks[n] = mask
				n++
			}
		}
	}
	return masks
}()
