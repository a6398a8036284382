package jfif

// maxEnergy bounds the sum of the squares of a block's coefficients, and so its samples: below 2^11. What an encoder
// makes of samples up to 255 has at most a quarter of it, however coarse the quantizer.
const maxEnergy = 1 << 22

// readRow reads the next row of MCUs of a sequential scan. dst starts with that row. What is missing becomes grey.
func (s *scan) readRow(d *Decoder, dst *[4][]uint8, strides *[4]int) {
	before := s.scanState
	if s.plain && s.eobRun == 0 && !s.lost && s.fast(d, dst, strides) {
		return
	}
	s.scanState = before
	var c block
	s.walk(d, d.row, func(p *part, i, x, y int) bool {
		c = block{}
		var set uint64
		ok := s.lost || s.dcFirst(d, p, i, &c) && s.acFirst(d, p.ac, &c, &set)
		if !ok {
			c, set = block{}, 0
		}
		out, stride := d.place(dst[p.plane], strides[p.plane], x, y-d.row*p.v)
		d.transform(&c, set, &p.quant, out, stride)
		return ok
	})
}

// place returns where the samples of a block go. The planes of the caller may have no room for the last blocks of an
// MCU.
func (d *Decoder) place(dst []uint8, stride, x, y int) ([]uint8, int) {
	if 8*x >= stride {
		return d.unused[:], 8
	}
	return dst[8*(y*stride+x):], stride
}

// fast is readRow for files as they usually are. It returns false for anything else, damage included.
func (s *scan) fast(d *Decoder, dst *[4][]uint8, strides *[4]int) bool {
	var b block
	for x := range d.across {
		if !s.nextMCU() {
			return false
		}
		for i := range s.n {
			p := &s.array[i]
			plane, stride := dst[p.plane], strides[p.plane]
			for j := range p.v {
				for k := range p.h {
					clear(b[:])
					last, ok := s.block(p, i, &b)
					if !ok {
						return false
					}
					out, stride := d.place(plane, stride, x*p.h+k, j)
					b.idct(&p.quant.scale, last, out, stride)
				}
			}
		}
	}
	return s.bits.within()
}

// block reads one block into b, which is zero, and returns the position of its last coefficient. It returns false for
// anything unusual.
func (s *scan) block(p *part, i int, b *block) (last int, ok bool) {
	r := &s.bits
	if r.n < 32 {
		r.refill()
	}
	e := p.dc.look[r.acc>>(64-lookBits)]
	if e == 0 {
		if e = r.symbol(p.dc); e == 0 {
			return 0, false
		}
	}
	acc, n := r.acc<<(e&31), r.n-int(e&31)
	dc := int64(s.last[i])
	switch run, size := e>>9&127, int(e>>5&15); {
	case run == endOfBlock: // which in this table means no difference
	case run != 0:
		return 0, false
	case size != 0:
		dc += extend(acc>>(64-size), size)
		acc, n = acc<<size, n-size
	default:
		dc += int64(int32(e) >> 16)
	}
	if dc != int64(int16(dc)) {
		return 0, false
	}
	s.last[i] = int32(dc)
	b[0] = int16(dc)
	q := &p.quant.quanta
	energy := dc * q[0].step * dc * q[0].step
	k := 0
	for k < 63 {
		if n < 32 {
			r.acc, r.n = acc, n
			r.refill()
			acc, n = r.acc, r.n
		}
		e := p.ac.look[acc>>(64-lookBits)]
		if e == 0 {
			r.acc = acc
			if e = r.symbol(p.ac); e == 0 {
				return 0, false
			}
		}
		acc, n = acc<<(e&31), n-int(e&31)
		k += int(e>>9&127) + 1
		if k > 63 {
			if e>>9&127 != endOfBlock {
				return 0, false
			}
			break
		}
		v := int64(int32(e) >> 16)
		if size := int(e >> 5 & 15); size != 0 {
			v = extend(acc>>(64-size), size)
			acc, n = acc<<size, n-size
		}
		quantum := &q[k&63]
		b[quantum.z&63] = int16(v)
		v *= quantum.step
		energy += v * v
		last = k
	}
	r.acc, r.n = acc, n
	return last, energy <= maxEnergy
}
