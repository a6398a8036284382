package icc

// greyTables converts pixels of one channel: a colour of 8 bits for each of 256 values, and for 16-bit values points
// of 1/256 level.
type greyTables struct {
	colours [256][3]byte
	fine    [][3]uint16
}

// newGrey returns the tables of a pipeline with one channel.
func newGrey(p *pipeline) *greyTables {
	t := &greyTables{fine: make([][3]uint16, finePoints)}
	for i := range t.colours {
		for c, v := range p.levels([4]float64{float64(i) / 255}) {
			t.colours[i][c] = byte(round(min(max(v, 0), 255)))
		}
	}
	for i := range t.fine {
		for c, v := range p.levels([4]float64{float64(i) / (finePoints - 1)}) {
			t.fine[i][c] = uint16(round(min(max(v, 0), 255) * 256))
		}
	}
	return t
}

func (t *greyTables) convert(dst, src []byte) {
	for n := min(len(dst)/3, len(src)); n > 0; n-- {
		*(*[3]byte)(dst) = t.colours[src[0]]
		dst, src = dst[3:], src[1:]
	}
}

func (t *greyTables) convert16(dst, src []byte) {
	for n := min(len(dst)/3, len(src)/2); n > 0; n-- {
		i, part := fine(src)
		low, high := t.fine[i], t.fine[i+1]
		for c := range low {
			dst[c] = byte((int32(low[c])*(16-part) + int32(high[c])*part + 1<<11) >> 12)
		}
		dst, src = dst[3:], src[2:]
	}
}
