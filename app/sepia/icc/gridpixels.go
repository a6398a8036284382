package icc

// partMask selects the part of a cell in a position.
const partMask = 1<<9 - 1

// interpolate returns the sum of the nodes of the tetrahedron around a colour, by their weights, given the positions
// of three channels. The weights add up to 256.
func (t *gridTables) interpolate(base, x, y, z, sx, sy, sz uint32) uint64 {
	i := base + x>>9 + y>>9 + z>>9
	x, y, z = x&partMask, y&partMask, z&partMask
	if x < y {
		x, y, sx, sy = y, x, sy, sx
	}
	if y < z {
		y, z, sy, sz = z, y, sz, sy
		if x < y {
			x, y, sx, sy = y, x, sy, sx
		}
	}
	j := i + sx
	k := j + sy
	n := t.nodes
	return n[i]*uint64(weights-x) + n[j]*uint64(x-y) + n[k]*uint64(y-z) + n[k+sz]*uint64(z)
}

// store3 stores the colour of an interpolation over three channels.
func store3(dst []byte, sum uint64) {
	const shift = 13 // nodeUnit * weights
	for c := range 3 {
		dst[c] = byte((uint32(sum>>(fieldBits*c)&fieldMask) + 1<<(shift-1)) >> shift)
	}
}

// store4 stores the colour between two interpolations.
func store4(dst []byte, low, high uint64, part uint32) {
	const shift = 21 // nodeUnit * weights * weights
	for c := range 3 {
		a, b := uint32(low>>(fieldBits*c)&fieldMask), uint32(high>>(fieldBits*c)&fieldMask)
		dst[c] = byte((a*(weights-part) + b*part + 1<<(shift-1)) >> shift)
	}
}

func (t *gridTables) convert3(dst, src []byte) {
	sx, sy, sz := t.stride[0], t.stride[1], t.stride[2]
	ex, ey, ez := &t.exact[0], &t.exact[1], &t.exact[2]
	for n := min(len(dst), len(src)) / 3; n > 0; n-- {
		s := src[:3:3]
		store3(dst[:3:3], t.interpolate(0, ex[s[0]], ey[s[1]], ez[s[2]], sx, sy, sz))
		dst, src = dst[3:], src[3:]
	}
}

func (t *gridTables) convert4(dst, src []byte) {
	s0, sx, sy, sz := t.stride[0], t.stride[1], t.stride[2], t.stride[3]
	e0, ex, ey, ez := &t.exact[0], &t.exact[1], &t.exact[2], &t.exact[3]
	for n := min(len(dst)/3, len(src)/4); n > 0; n-- {
		s := src[:4:4]
		first, x, y, z := e0[s[0]], ex[s[1]], ey[s[2]], ez[s[3]]
		low := t.interpolate(first>>9, x, y, z, sx, sy, sz)
		high := t.interpolate(first>>9+s0, x, y, z, sx, sy, sz)
		store4(dst[:3:3], low, high, first&partMask)
		dst, src = dst[3:], src[4:]
	}
}

// finePosition returns the position of a 16-bit value.
func (t *gridTables) finePosition(channel int, p []byte) uint32 {
	v := uint32(p[0])<<8 | uint32(p[1])
	return t.position((2*v*uint32(t.points-1)*weights+65535)/(2*65535), channel)
}

func (t *gridTables) convert3x16(dst, src []byte) {
	sx, sy, sz := t.stride[0], t.stride[1], t.stride[2]
	for n := min(len(dst)/3, len(src)/6); n > 0; n-- {
		x, y, z := t.finePosition(0, src), t.finePosition(1, src[2:]), t.finePosition(2, src[4:])
		store3(dst[:3:3], t.interpolate(0, x, y, z, sx, sy, sz))
		dst, src = dst[3:], src[6:]
	}
}

func (t *gridTables) convert4x16(dst, src []byte) {
	s0, sx, sy, sz := t.stride[0], t.stride[1], t.stride[2], t.stride[3]
	for n := min(len(dst)/3, len(src)/8); n > 0; n-- {
		first := t.finePosition(0, src)
		x, y, z := t.finePosition(1, src[2:]), t.finePosition(2, src[4:]), t.finePosition(3, src[6:])
		low := t.interpolate(first>>9, x, y, z, sx, sy, sz)
		high := t.interpolate(first>>9+s0, x, y, z, sx, sy, sz)
		store4(dst[:3:3], low, high, first&partMask)
		dst, src = dst[3:], src[8:]
	}
}
