package heif

// maxConfig limits hvcC and av1C, which have about 100 bytes.
const maxConfig = 1 << 16

// readHEVC reads the first sequence parameter set of an hvcC box.
func readHEVC(config []byte) coded {
	const setsAt, sps = 22, 33
	if len(config) < setsAt {
		return coded{}
	}
	c := cursor{b: config[setsAt:]}
	for range c.u8() {
		kind := c.u8() & 0x3f
		for range c.u16() {
			nal := c.bytes(int(c.u16()))
			if c.fail {
				return coded{}
			}
			if kind == sps && len(nal) > 2 {
				return readSPS(&bits{b: unescape(nal[2:])})
			}
		}
	}
	return coded{}
}

// unescape removes the bytes that keep start codes out of a NAL unit.
func unescape(nal []byte) []byte {
	b := make([]byte, 0, len(nal))
	zeros := 0
	for _, v := range nal {
		if zeros >= 2 && v == 3 {
			zeros = 0
			continue
		}
		if zeros++; v != 0 {
			zeros = 0
		}
		b = append(b, v)
	}
	return b
}

// readSPS reads a sequence parameter set (ITU-T H.265, 7.3.2.2).
func readSPS(r *bits) (c coded) {
	r.u(4)
	layers := int(r.u(3))
	r.u(1)
	r.profile(layers)
	r.ue()
	chroma := r.ue()
	if chroma == 3 {
		r.u(1)
	}
	width, height := r.ue(), r.ue()
	if r.flag() { // the part that is shown is smaller
		var edges [4]uint64
		for i := range edges {
			edges[i] = r.ue()
		}
		x, y := uint64(1), uint64(1)
		if chroma == 1 || chroma == 2 {
			x = 2
		}
		if chroma == 1 {
			y = 2
		}
		width, height = width-min(width, x*(edges[0]+edges[1])), height-min(height, y*(edges[2]+edges[3]))
	}
	if r.fail {
		return coded{}
	}
	return coded{width, height, r.usability(layers)}
}

// profile skips profile_tier_level.
func (r *bits) profile(layers int) {
	r.pos += 96
	var size [8]int
	for i := range layers {
		size[i] = 88*int(r.u(1)) + 8*int(r.u(1))
	}
	if layers > 0 {
		r.u(2 * (8 - layers))
	}
	for _, n := range size {
		r.pos += n
	}
}

// usability returns the colours from the rest of the set, nil if it does not have them.
func (r *bits) usability(layers int) *CICP {
	r.ues(2)
	order := int(r.ue()) + 4
	if r.flag() {
		r.ues(3 * layers)
	}
	r.ues(3 + 6)
	if enabled := r.flag(); enabled && r.flag() {
		r.scalingLists()
	}
	r.u(2)
	if r.flag() {
		r.u(8)
		r.ues(2)
		r.u(1)
	}
	r.referenceSets()
	if r.flag() {
		for n := r.ue(); n > 0 && !r.fail; n-- {
			r.u(min(order, 16) + 1)
		}
	}
	r.u(2)
	if !r.flag() {
		return nil
	}
	if r.flag() && r.u(8) == 255 { // the aspect of pixels
		r.u(32)
	}
	if r.flag() {
		r.u(1)
	}
	if !r.flag() {
		return nil
	}
	r.u(3)
	c := &CICP{2, 2, 2, r.flag()}
	if r.flag() {
		c.Primaries, c.Transfer, c.Matrix = uint16(r.u(8)), uint16(r.u(8)), uint16(r.u(8))
	}
	if r.fail {
		return nil
	}
	return c
}

// scalingLists skips scaling_list_data.
func (r *bits) scalingLists() {
	for size := range 4 {
		lists := 6
		if size == 3 {
			lists = 2
		}
		for range lists {
			if !r.flag() {
				r.ue()
				continue
			}
			if size > 1 {
				r.ue()
			}
			r.ues(min(64, 1<<(4+2*size)))
		}
	}
}

// referenceSets skips the short-term reference picture sets.
func (r *bits) referenceSets() {
	n, pictures := r.ue(), 0
	if n > 64 {
		r.fail = true
	}
	for i := uint64(0); i < n && !r.fail; i++ {
		if i > 0 && r.flag() { // predicted from the set before
			r.u(1)
			r.ue()
			kept := 0
			for range pictures + 1 {
				if used := r.flag(); used || r.flag() {
					kept++
				}
			}
			pictures = kept
			continue
		}
		pictures = int(min(r.ue(), 16) + min(r.ue(), 16))
		for range pictures {
			r.ue()
			r.u(1)
		}
	}
}
