package jfif

import (
	"context"
	"math/bits"
)

// plane has the coefficients of a component, by row of blocks. They are in rows so that those that are done can be
// released.
type plane struct {
	rows  []blockRow // none if no scan has the component
	quant quantizers
}

// blockRow has a row of blocks. It has no memory if all coefficients are zero.
type blockRow struct {
	c   []block
	set []uint64 // by block: the coefficients that are not zero; the first is not marked
}

// Load reads all scans of a progressive file, whose coefficients take two bytes for each sample of the planes, and
// an eighth of a byte. It does nothing for other files. It returns the error of ctx once that has ended.
func (d *Decoder) Load(ctx context.Context) error {
	if !d.Progressive {
		return nil
	}
	for i := range d.scans {
		s := &d.scans[i]
		for _, part := range s.parts() {
			if p := &d.stored[part.plane]; p.rows == nil {
				p.rows = make([]blockRow, d.down*part.v)
			}
		}
		s.eobRun = d.eobRun
		for row := range d.down {
			if err := ctx.Err(); err != nil {
				return err
			}
			s.loadRow(d, row)
			if err := s.enough(d); err != nil {
				return err
			}
		}
		d.eobRun = s.eobRun
		if !s.lost && !s.ended() {
			d.suffer(Broken)
		}
	}
	for i := range d.comps {
		d.stored[i].quant.set(&d.header.quant[d.comps[i].quant])
	}
	return nil
}

// loadRow reads a row of MCUs. Coefficients that are missing stay as they are.
func (s *scan) loadRow(d *Decoder, row int) {
	switch {
	case s.lost && s.interval == 0:
		s.miss(d, row)
	case s.from == 0:
		s.walk(d, row, func(p *part, i, x, y int) bool {
			c := &d.blocks(p.plane, y).c[x]
			if !s.refine {
				return s.dcFirst(d, p, i, c)
			}
			c[0] = d.saturated(int32(c[0]) | int32(s.bits.take(1)<<s.low))
			return true
		})
	case !s.refine:
		s.walk(d, row, func(p *part, i, x, y int) bool {
			if s.eobRun > 0 {
				s.eobRun--
				return true
			}
			b := d.blocks(p.plane, y)
			return s.acFirst(d, p.ac, &b.c[x], &b.set[x])
		})
	default:
		s.walk(d, row, func(p *part, i, x, y int) bool {
			b := d.blocks(p.plane, y)
			return s.acRefine(d, p.ac, &b.c[x], &b.set[x])
		})
	}
}

// blocks returns a row of blocks and allocates it if it is the first access.
func (d *Decoder) blocks(plane, y int) *blockRow {
	b := &d.stored[plane].rows[y]
	if b.c == nil {
		n := d.across * d.comps[plane].h
		b.c, b.set = make([]block, n), make([]uint64, n)
	}
	return b
}

// acRefine reads one more bit of the coefficients that are not zero, and those that appear with it.
func (s *scan) acRefine(d *Decoder, h *huffman, c *block, set *uint64) bool {
	r := &s.bits
	k := s.from
	for s.eobRun == 0 && k <= s.to {
		if h == nil {
			return false
		}
		if r.n < 32 {
			r.refill()
		}
		e := h.look[r.acc>>(64-lookBits)]
		if e == 0 {
			if e = r.symbol(h); e == 0 {
				return false
			}
		}
		run, v := int(e>>9&127), int32(e)>>16
		r.acc, r.n = r.acc<<(e&31), r.n-int(e&31)
		if run >= endOfBlock {
			s.eobRun = 1<<(run-endOfBlock) | uint32(r.take(run-endOfBlock))
			break
		}
		switch size := int(e >> 5 & 15); {
		case size == 1:
			v = int32(extend(r.take(1), 1))
		case size > 1 || v < -1 || v > 1:
			return false
		}
		// Skip that many zeros.
		zeros := ^*set >> k << k
		for ; run > 0; run-- {
			zeros &= zeros - 1
		}
		next := bits.TrailingZeros64(zeros)
		if next > s.to {
			return false
		}
		s.correct(d, c, *set>>k<<k&(1<<next-1))
		if v != 0 {
			c[zigzag[next&63]&63] = int16(v << s.low)
			*set |= 1 << next
		}
		k = next + 1
	}
	if s.eobRun > 0 {
		s.eobRun--
		if m := *set >> k << k & (2<<s.to - 1); m != 0 {
			s.correct(d, c, m)
		}
	}
	return true
}

// correct reads one more bit of the coefficients in m.
func (s *scan) correct(d *Decoder, c *block, m uint64) {
	for ; m != 0; m &= m - 1 {
		if s.bits.take(1) == 0 {
			continue
		}
		k := zigzag[bits.TrailingZeros64(m)&63] & 63
		delta := int32(1) << s.low
		if c[k] < 0 {
			delta = -delta
		}
		c[k] = d.saturated(int32(c[k]) + delta)
	}
}

// transformRow writes the samples of a component in the next row of MCUs, and releases its coefficients.
func (d *Decoder) transformRow(plane int, dst []uint8, stride int) {
	p := &d.stored[plane]
	c := &d.comps[plane]
	if p.rows == nil {
		clear(dst[:8*c.v*stride]) // as in image/jpeg
		return
	}
	var none block
	for y := range c.v {
		row := &p.rows[d.row*c.v+y]
		for x := range min(d.across*c.h, (stride+7)/8) {
			block, set := &none, uint64(0)
			if row.c != nil {
				block, set = &row.c[x], row.set[x]
			}
			d.transform(block, set, &p.quant, dst[8*(y*stride+x):], stride)
		}
		*row = blockRow{}
	}
}
