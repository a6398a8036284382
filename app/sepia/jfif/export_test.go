package jfif

// What the tests of the Huffman tables use.
var (
	Optimal                = optimal
	StandardDC, StandardAC = standardDC, standardAC
)

// Rough reports whether the file has had blocks with coefficients as no encoder makes them.
func (d *Decoder) Rough() bool { return d.rough > 0 }
