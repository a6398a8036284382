package icc

// A node of a grid has red, green and blue in fields of 21 bits: a level of sRGB in 1/32, whose 13 bits leave 8 for
// the weights of an interpolation.
const (
	nodeUnit = 32
	weights  = 256 // of one interpolation; also the parts of a cell
)

// The points of a grid per channel are LittleCMS's for images of 8 bits, at even steps of the device and with colours
// limited to those of sRGB. So is the error of a coarse grid, at the edge of the gamut: the result is what programs
// with LittleCMS show. A grid takes 287 or 668 kB.
const (
	points3 = 33
	points4 = 17
)

// gridTables converts pixels by a table of colours over a grid of three or four channels.
type gridTables struct {
	nodes    []uint64
	points   int
	channels int
	stride   [4]uint32
	exact    [4][256]uint32 // per channel and value: the index of the node before it and the part of the cell
}

// position returns the part of a cell in the low nine bits, above it the index of the node.
func (t *gridTables) position(parts uint32, channel int) uint32 {
	cell := min(parts/weights, uint32(t.points-2))
	return cell*t.stride[channel]<<9 | (parts - cell*weights)
}

// newGrid returns the tables of a pipeline with three or four channels.
func newGrid(p *pipeline, channels int) *gridTables {
	t := &gridTables{points: points3, channels: channels}
	if channels == 4 {
		t.points = points4
	}
	size := 1
	for c := channels - 1; c >= 0; c-- {
		t.stride[c] = uint32(size)
		size *= t.points
	}
	for c := range channels {
		for v := range t.exact[c] {
			t.exact[c][v] = t.position(uint32((2*v*(t.points-1)*weights+255)/(2*255)), c)
		}
	}
	t.nodes = make([]uint64, size)
	for i := range t.nodes {
		t.nodes[i] = t.node(p, i)
	}
	return t
}

// node computes the node at an index.
func (t *gridTables) node(p *pipeline, index int) (node uint64) {
	var v [4]float64
	for c := range t.channels {
		v[c] = float64(index/int(t.stride[c])) / float64(t.points-1)
		index %= int(t.stride[c])
	}
	for row, level := range p.levels(v) {
		node |= uint64(round(min(max(level, 0), 255)*nodeUnit)) << (fieldBits * row)
	}
	return node
}
