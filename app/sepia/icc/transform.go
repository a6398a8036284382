package icc

// Transform converts pixels to sRGB. It is immutable and safe for concurrent use.
type Transform struct {
	channels int
	grey     *greyTables
	matrix   *matrixTables
	grid     *gridTables
}

// Channels returns the number of channels of a source pixel: 1 (grey), 3 (RGB) or 4 (CMYK, 255 is full ink).
func (t *Transform) Channels() int { return t.channels }

// Convert converts pixels of Channels bytes to RGB, as many as both slices hold. Pixels of three and four channels
// may be converted in place, with dst and src at the same address.
func (t *Transform) Convert(dst, src []byte) {
	switch {
	case t.grey != nil:
		t.grey.convert(dst, src)
	case t.matrix != nil:
		t.matrix.convert(dst, src)
	case t.channels == 3:
		t.grid.convert3(dst, src)
	default:
		t.grid.convert4(dst, src)
	}
}

// Convert16 converts pixels of Channels big-endian 16-bit values to RGB of 8 bits, as many as both slices hold. It
// works in place, as Convert does.
func (t *Transform) Convert16(dst, src []byte) {
	switch {
	case t.grey != nil:
		t.grey.convert16(dst, src)
	case t.matrix != nil:
		t.matrix.convert16(dst, src)
	case t.channels == 3:
		t.grid.convert3x16(dst, src)
	default:
		t.grid.convert4x16(dst, src)
	}
}

// Memory returns the number of bytes that the transform holds.
func (t *Transform) Memory() int64 {
	n := int64(outputUnits + 1) // the output table that all transforms share
	switch {
	case t.grey != nil:
		n += int64(len(t.grey.fine))*6 + 256*3
	case t.matrix != nil:
		n += 3 * (256*8 + finePoints*4)
	default:
		n += int64(len(t.grid.nodes))*8 + 4*256*4
	}
	return n
}

// finePoints is the number of points of a table over 16-bit values, with linear interpolation between them: one for
// every 16 values, and one more at the end.
const finePoints = 4097

// fine reads a 16-bit value from p and returns a point of a fine table and the position between it and the next, from
// 0 to 16. 65535 is the last point.
func fine(p []byte) (point, part int32) {
	v := int32(p[0])<<8 | int32(p[1])
	v += v >> 15
	if v == 1<<16 {
		return finePoints - 2, 16
	}
	return v >> 4, v & 15
}
