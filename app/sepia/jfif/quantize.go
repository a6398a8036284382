package jfif

import "math/bits"

// quantShift is the number of bits behind the point of a quotient.
const quantShift = 48

// step is the quantizer of one coefficient.
type step struct {
	z            uint8 // its natural position
	scale        int64 // what turns the output of fdct into quantShift bits behind the point
	small, above int64 // x is 0 in both lanes, if x+small has no bit of above
}

func newStep(z uint8, size int) step {
	f := 8 * fdctFactors[z/8] * fdctFactors[z%8] * float64(size)
	for _, i := range [2]uint8{z / 8, z % 8} {
		if i != 0 && i != 4 {
			f *= fdctScale
		}
	}
	small := int64(1) << bits.Len64(uint64(f/2)) >> 1
	return step{z, int64(float64(1<<quantShift)/f + 0.5), small<<32 + small, ^((2*small-1)<<32 + 2*small - 1)}
}

// pair has two quantized blocks.
type pair struct {
	w   [64]int64
	z   [2][64]int16 // in zigzag order; valid where the bit is set, and the first
	set [2]uint64    // bit k: coefficient k is not zero
}

func (p *pair) transform(a, b []byte, stride int, steps *[64]step) {
	fdct(&p.w, a, b, stride)
	const half = 1 << (quantShift - 1)
	var set0, set1 uint64
	p.z[0][0], p.z[1][0] = 0, 0
	for k := range steps {
		t := &steps[k]
		x := p.w[t.z&63]
		if (x+t.small)&t.above == 0 {
			continue
		}
		lo := int64(int32(x))
		q0 := (lo*t.scale + half) >> quantShift
		q1 := ((x-lo)>>32*t.scale + half) >> quantShift
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
