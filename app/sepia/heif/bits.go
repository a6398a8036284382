package heif

// bits reads a coded header bit by bit. After the end it returns zeros, and fail is true.
type bits struct {
	b    []byte
	pos  int
	fail bool
}

// u reads an unsigned number of n bits, at most 64.
func (r *bits) u(n int) (v uint64) {
	for range n {
		v <<= 1
		if r.pos >= 8*len(r.b) {
			r.fail = true
			continue
		}
		v |= uint64(r.b[r.pos/8]>>(7-r.pos&7)) & 1
		r.pos++
	}
	return v
}

func (r *bits) flag() bool { return r.u(1) == 1 }

// ue reads a number in an exponential Golomb code; uvlc of AV1 is the same.
func (r *bits) ue() uint64 {
	zeros := 0
	for !r.flag() {
		if zeros++; zeros > 32 || r.fail {
			r.fail = true
			return 0
		}
	}
	return 1<<zeros - 1 + r.u(zeros)
}

// ues skips n such numbers; signed ones have the same length.
func (r *bits) ues(n int) {
	for range n {
		r.ue()
	}
}

// coded has what the header of a coded picture says.
type coded struct {
	width, height uint64 // 0 if the header is not there or not readable
	cicp          *CICP
}
