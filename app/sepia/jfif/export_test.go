package jfif

// What the tests of the Huffman tables use.
var (
	Optimal                = optimal
	StandardDC, StandardAC = standardDC, standardAC
)
