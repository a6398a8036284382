package jfif

// What the tests of the Huffman tables use.
var (
	Optimal                = optimal
	StandardDC, StandardAC = standardDC, standardAC
)

// Rough reports whether the file has had blocks with coefficients as no encoder makes them.
func (d *Decoder) Rough() bool { return d.rough > 0 }

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
