package heif

// readAV1 reads the first sequence header of a stream of AV1 (its specification, 5.3 to 5.5).
func readAV1(stream []byte) coded {
	const sequenceHeader = 1
	c := cursor{b: stream}
	for len(c.b) > 0 {
		head := c.u8()
		if head&4 != 0 {
			c.u8()
		}
		size := len(c.b)
		if head&2 != 0 {
			size = c.leb128()
		}
		body := c.bytes(size)
		if c.fail {
			break
		}
		if head>>3&15 == sequenceHeader {
			return readSequence(&bits{b: body})
		}
	}
	return coded{}
}

// leb128 reads a number of 7 bits a byte.
func (c *cursor) leb128() (v int) {
	for i := range 5 {
		b := c.u8()
		v |= b & 0x7f << (7 * i)
		if b&0x80 == 0 {
			return v
		}
	}
	c.fail = true
	return 0
}

func readSequence(r *bits) coded {
	profile := r.u(3)
	r.u(1)
	reduced := r.flag()
	if reduced {
		r.u(5)
	} else {
		r.operatingPoints()
	}
	x, y := int(r.u(4))+1, int(r.u(4))+1
	c := coded{width: r.u(x) + 1, height: r.u(y) + 1}
	if r.fail {
		return coded{}
	}
	if !reduced && r.flag() {
		r.u(4 + 3)
	}
	r.u(3)
	if !reduced {
		r.tools()
	}
	r.u(3)
	if high := r.flag(); high && profile == 2 {
		r.u(1)
	}
	if profile != 1 {
		r.u(1) // monochrome
	}
	v := &CICP{2, 2, 2, true}
	if r.flag() {
		v.Primaries, v.Transfer, v.Matrix = uint16(r.u(8)), uint16(r.u(8)), uint16(r.u(8))
	}
	if *v != (CICP{1, 13, 0, true}) { // those colours have the full range
		v.FullRange = r.flag()
	}
	if !r.fail {
		c.cicp = v
	}
	return c
}

// operatingPoints skips timing and the operating points.
func (r *bits) operatingPoints() {
	model, delay := false, 0
	if r.flag() {
		r.u(64)
		if r.flag() {
			r.ue()
		}
		if model = r.flag(); model {
			delay = int(r.u(5)) + 1
			r.u(32 + 5 + 5)
		}
	}
	display := r.flag()
	for range r.u(5) + 1 {
		r.u(12)
		if r.u(5) > 7 {
			r.u(1)
		}
		if model && r.flag() {
			r.u(delay)
			r.u(delay)
			r.u(1)
		}
		if display && r.flag() {
			r.u(4)
		}
	}
}

// tools skips the coding tools that a still picture does not have.
func (r *bits) tools() {
	r.u(4)
	order := r.flag()
	if order {
		r.u(2)
	}
	force := uint64(2)
	if !r.flag() {
		force = r.u(1)
	}
	if force > 0 && !r.flag() {
		r.u(1)
	}
	if order {
		r.u(3)
	}
}
