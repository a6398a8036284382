package jfif

import "math/bits"

// quantum is the step of one coefficient.
type quantum struct {
	step int64
	z    uint8 // its natural position
}

// quantizers has a table for the decoder, in zigzag order and for idct.
type quantizers struct {
	quanta [64]quantum
	scale  dequantizer
}

// set sets all steps. It returns false if there are some of more than 8 bits, with which the sum of squares may
// overflow.
func (q *quantizers) set(steps *[64]uint16) (narrow bool) {
	narrow = true
	for k, z := range zigzag {
		q.quanta[k] = quantum{int64(steps[k]), z}
		q.scale.set(z, int(steps[k]))
		narrow = narrow && steps[k] < 256
	}
	return narrow
}

// saturated returns the nearest coefficient that can be stored. No photo has larger ones.
func (d *Decoder) saturated(v int32) int16 {
	if v != int32(int16(v)) {
		d.rough++
		return int16(min(max(v, -1<<15), 1<<15-1))
	}
	return int16(v)
}

// dcFirst reads the first coefficient of a block, without its lowest bits.
func (s *scan) dcFirst(d *Decoder, p *part, i int, c *block) bool {
	r := &s.bits
	if p.dc == nil {
		return false
	}
	if r.n < 32 {
		r.refill()
	}
	e := p.dc.look[r.acc>>(64-lookBits)]
	if e == 0 {
		if e = r.symbol(p.dc); e == 0 {
			return false
		}
	}
	r.acc, r.n = r.acc<<(e&31), r.n-int(e&31)
	switch run, size := e>>9&127, int(e>>5&15); {
	case run == endOfBlock: // which in this table means no difference
	case run == endOfBlock+1: // 16 bits
		s.last[i] += int32(extend(r.take(16), 16))
	case run != 0:
		return false
	case size != 0:
		s.last[i] += int32(extend(r.take(size), size))
	default:
		s.last[i] += int32(e) >> 16
	}
	c[0] = d.saturated(s.last[i] << s.low)
	return true
}

// acFirst reads the coefficients of the scan of a block, without their lowest bits, and marks in set those that are not
// zero.
func (s *scan) acFirst(d *Decoder, h *huffman, c *block, set *uint64) bool {
	if s.eobRun > 0 {
		s.eobRun--
		return true
	}
	if h == nil {
		return false
	}
	r := &s.bits
	acc, n := r.acc, r.n
	for k := max(s.from, 1); k <= s.to; k++ {
		if n < 32 {
			r.acc, r.n = acc, n
			r.refill()
			acc, n = r.acc, r.n
		}
		e := h.look[acc>>(64-lookBits)]
		if e == 0 {
			r.acc = acc
			if e = r.symbol(h); e == 0 {
				return false
			}
		}
		acc, n = acc<<(e&31), n-int(e&31)
		run, size, v := int(e>>9&127), int(e>>5&15), int64(int32(e)>>16)
		if run >= endOfBlock {
			run -= endOfBlock
			s.eobRun = uint32(1<<run|acc>>1>>(63-run)) - 1
			acc, n = acc<<run, n-run
			break
		}
		if k += run; k > s.to {
			if v != 0 { // which is not read then
				size, amplitude := magnitude(v)
				acc, n = acc>>size|uint64(amplitude)<<(64-size), n+size
			}
			break
		}
		if size != 0 {
			v = extend(acc>>(64-size), size)
			acc, n = acc<<size, n-size
		}
		if v != 0 {
			c[zigzag[k&63]&63] = d.saturated(int32(v) << s.low)
			*set |= 1 << k
		}
	}
	r.acc, r.n = acc, n
	return true
}

// transform writes the samples of a block.
func (d *Decoder) transform(c *block, set uint64, q *quantizers, dst []byte, stride int) {
	energy := int64(0)
	set |= 1
	for m := set; m != 0; m &= m - 1 {
		quantum := &q.quanta[bits.TrailingZeros64(m)&63]
		v := int64(c[quantum.z&63]) * quantum.step
		if energy += v * v; energy > maxEnergy {
			d.rough++
			exact(c, q, dst, stride)
			return
		}
	}
	c.idct(&q.scale, 63-bits.LeadingZeros64(set), dst, stride)
}
