package icc

// A node of a grid has red, green and blue in fields of 21 bits: 1/16 level, from 128 levels below black to 384 above
// it, leave 8 bits for the weights of an interpolation. Colours out of gamut are kept as they are and limited only after
// it: a colour between one in gamut and one outside would be wrong otherwise.
const (
	nodeUnit = 16
	nodeBias = 128 * nodeUnit
	nodeMax  = 1<<13 - 1
	weights  = 256 // of one interpolation; also the parts of a cell
)

// The points of a grid per channel, at most. They are LittleCMS's for images of 8 bits: 287 kB and 668 kB.
const (
	points3 = 33
	points4 = 17
)

// gridTables converts pixels by a table of colours over a grid of three or four channels.
type gridTables struct {
	nodes  []uint64
	points int
	stride [4]uint32
	exact  [][256]uint32        // per channel and value: the index of the node before it and the part of the cell
	fine   [][finePoints]uint32 // per channel: positions for 16-bit values, in 1/16 part
}

// position returns the part of a cell in the low nine bits, above it the index of the node.
func (t *gridTables) position(parts uint32, channel int) uint32 {
	cell := min(parts/weights, uint32(t.points-2))
	return cell*t.stride[channel]<<9 | (parts - cell*weights)
}

// plan describes a grid before it is computed: each channel goes through its curve, and the pipeline after it is
// computed for every node.
type plan struct {
	curves []curve
	after  *pipeline
	points int
}

// plans returns the ways to tabulate a pipeline. If it begins with curves and a grid, nodes that fall on that grid's
// may be best, or else nodes at even steps of the device, in which colours are mostly even.
func plans(p *pipeline, channels, limit int) []plan {
	even := plan{curves: make([]curve, channels), after: p, points: limit}
	for i := range even.curves {
		even.curves[i] = gammaCurve(1)
	}
	if grid, ok := p.stages[0].(*clut); ok {
		even.points = aligned(grid.points[0], limit)
	}
	curves, ok := p.stages[0].(curveStage)
	if !ok || len(p.stages) < 2 {
		return []plan{even}
	}
	grid, ok := p.stages[1].(*clut)
	if !ok {
		return []plan{even}
	}
	after := *p
	after.stages = p.stages[1:]
	return []plan{even, {curves: curves, after: &after, points: aligned(grid.points[0], limit)}}
}

// aligned returns the most points up to the limit that include all points of a grid.
func aligned(points, limit int) int {
	if points > limit {
		return limit
	}
	return (limit-1)/(points-1)*(points-1) + 1
}

func newGrid3(p *pipeline) *gridTables { return newGrid(p, 3, points3) }
func newGrid4(p *pipeline) *gridTables { return newGrid(p, 4, points4) }

// newGrid returns the tables of the plan that is nearest to the pipeline.
func newGrid(p *pipeline, channels, limit int) *gridTables {
	candidates := plans(p, channels, limit)
	best, least := (*builder)(nil), 0.0
	for i := range candidates {
		b := newBuilder(&candidates[i], channels)
		if len(candidates) == 1 {
			best = b
			break
		}
		if err := b.probe(p); best == nil || err < least {
			best, least = b, err
		}
	}
	for i := range best.nodes {
		best.fill(i)
	}
	return best.gridTables
}

// builder computes the nodes of a grid when they are needed.
type builder struct {
	*gridTables
	plan *plan
}

func newBuilder(p *plan, channels int) *builder {
	t := &gridTables{points: p.points, exact: make([][256]uint32, channels)}
	t.fine = make([][finePoints]uint32, channels)
	size := 1
	for c := channels - 1; c >= 0; c-- {
		t.stride[c] = uint32(size)
		size *= p.points
	}
	t.nodes = make([]uint64, size)
	for c := range channels {
		at := clampedCurve{p.curves[c]}.at
		for v := range t.exact[c] {
			t.exact[c][v] = t.position(uint32(round(at(float64(v)/255)*float64((p.points-1)*weights))), c)
		}
		for i := range t.fine[c] {
			t.fine[c][i] = uint32(round(at(float64(i)/(finePoints-1)) * float64((p.points-1)*weights*16)))
		}
	}
	return &builder{t, p}
}

// fill computes a node unless it is there. No node but one of three channels out of range is 0.
func (b *builder) fill(index int) {
	if b.nodes[index] != 0 {
		return
	}
	var v [4]float64
	rest := index
	for c := range b.exact {
		v[c] = float64(rest/int(b.stride[c])) / float64(b.points-1)
		rest %= int(b.stride[c])
	}
	for row, level := range b.plan.after.levels(v) {
		field := uint64(min(max(round(level*nodeUnit)+nodeBias, 0), nodeMax))
		b.nodes[index] |= field << (fieldBits * row)
	}
}

// probe returns the mean square of the difference between the tables and the pipeline, over some colours.
func (b *builder) probe(p *pipeline) float64 {
	const samples = 200
	sum, random := 0.0, uint32(1)
	t := Transform{channels: len(b.exact), grid: b.gridTables}
	for range samples {
		random = random*1664525 + 1013904223 // the same colours each time
		pixel := [4]byte{byte(random >> 24), byte(random >> 16), byte(random >> 12), byte(random>>20) / 2}
		var device [4]float64
		index := 0
		for c := range b.exact {
			device[c] = float64(pixel[c]) / 255
			index += int(b.exact[c][pixel[c]] >> 9)
		}
		for corner := range 1 << len(b.exact) {
			i := index
			for c := range b.exact {
				i += int(b.stride[c]) * (corner >> c & 1)
			}
			b.fill(i)
		}
		var got [3]byte
		t.Convert(got[:], pixel[:len(b.exact)])
		for c, want := range p.levels(device) {
			d := float64(got[c]) - min(max(want, 0), 255)
			sum += float64(d * d)
		}
	}
	return sum / (3 * samples)
}
