package jfif

// Exports for the tests of the Huffman tables.
var (
	Optimal                = optimal
	StandardDC, StandardAC = standardDC, standardAC
)

// ErrCarried is the error for files of a kind that image/jpeg reads.
var ErrCarried = errCarried

// RestartsByBlock reports whether restarts come by blocks of a plane of which an MCU has several. image/jpeg takes them
// by MCUs.
func (d *Decoder) RestartsByBlock() bool {
	for _, s := range d.scans {
		if s.n == 1 && s.interval > 0 && s.array[0].h*s.array[0].v > 1 {
			return true
		}
	}
	return false
}

// Rough reports whether the file has had blocks with coefficients as no encoder makes them.
func (d *Decoder) Rough() bool { return d.rough > 0 }

// Held returns the number of rows of blocks whose coefficients are in memory.
func (d *Decoder) Held() (n int) {
	for _, p := range d.stored {
		for _, row := range p.rows {
			if row.c != nil || row.set != nil {
				n++
			}
		}
	}
	return n
}

// Exact returns the samples of a block of coefficients in natural order, all with the same step.
func Exact(c *[64]int16, step uint16) (samples [64]byte) {
	var steps [64]uint16
	for k := range steps {
		steps[k] = step
	}
	var q quantizers
	q.set(&steps)
	exact((*block)(c), &q, samples[:], 8)
	return samples
}

// Inverse returns counts of the same symbols by which the most frequent ones are the rarest.
func Inverse(c *Counts) *Counts {
	inverse := func(counts []uint32) {
		for i, n := range counts {
			if n > 0 {
				counts[i] = 1 + 1<<30/(n*n)
			}
		}
	}
	other := *c
	for t := range other {
		inverse(other[t].dc[:])
		inverse(other[t].ac[:])
	}
	return &other
}
