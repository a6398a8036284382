package icc

import "errors"

// clut is a table of colours over a grid of one, three or four channels. The last channel varies fastest.
type clut struct {
	data    []byte // stays in the profile
	wide    bool   // entries have 16 bits
	points  [4]int // of the grid, per input channel
	in, out int
}

// newCLUT returns the table that b begins with, and its length.
func newCLUT(b []byte, points [4]int, in, out int, wide bool) (*clut, int, error) {
	if in != 1 && in != 3 && in != 4 || out != 3 && out != 4 {
		return nil, 0, errors.New("a table has an unusual number of channels")
	}
	length := int64(out)
	if wide {
		length *= 2
	}
	for _, n := range points[:in] {
		if n < 2 {
			return nil, 0, errors.New("a table has a grid of one point")
		}
		length *= int64(n) // at most 255^4 * 8, which does not overflow
	}
	if length > int64(len(b)) {
		return nil, 0, errors.New("a table claims more entries than it has")
	}
	return &clut{data: b[:length], wide: wide, points: points, in: in, out: out}, int(length), nil
}

// node returns a channel of the entry at an index.
func (t *clut) node(index, channel int) float64 {
	if t.wide {
		return value16(t.data, index*t.out+channel)
	}
	return float64(t.data[index*t.out+channel]) / 255
}

// apply interpolates as LittleCMS does: in the tetrahedron of the last three channels around the colour, and linearly
// in the one before them.
func (t *clut) apply(v *[4]float64) {
	var index int
	var part [4]float64
	var step [4]int // of the index, to the next point of a channel; 0 at the last point
	stride := 1
	for c := t.in - 1; c >= 0; c-- {
		var i int
		i, part[c] = between(v[c], t.points[c])
		index += i * stride
		if i < t.points[c]-1 {
			step[c] = stride
		}
		stride *= t.points[c]
	}
	var r [4]float64
	switch t.in {
	case 1:
		for c := range t.out {
			r[c] = lerp(t.node(index, c), t.node(index+step[0], c), part[0])
		}
	case 3:
		t.tetrahedron(&r, index, [3]float64(part[:3]), [3]int(step[:3]))
	case 4:
		var high [4]float64
		t.tetrahedron(&r, index, [3]float64(part[1:]), [3]int(step[1:]))
		t.tetrahedron(&high, index+step[0], [3]float64(part[1:]), [3]int(step[1:]))
		for c := range t.out {
			r[c] = lerp(r[c], high[c], part[0])
		}
	}
	*v = r
}

// tetrahedron interpolates between four nodes: the one at index, and those reached from it by one step after the
// other, in the order of the distances.
func (t *clut) tetrahedron(r *[4]float64, index int, part [3]float64, step [3]int) {
	a, b, c := order(part[0], part[1], part[2])
	first := index + step[a]
	second := first + step[b]
	third := second + step[c]
	for ch := range t.out {
		n0, n1, n2, n3 := t.node(index, ch), t.node(first, ch), t.node(second, ch), t.node(third, ch)
		r[ch] = n0 + float64((n1-n0)*part[a]) + float64((n2-n1)*part[b]) + float64((n3-n2)*part[c])
	}
}

// order returns the positions of three values, the greatest first.
func order(x, y, z float64) (a, b, c int) {
	switch {
	case x >= y && y >= z:
		return 0, 1, 2
	case x >= z && z >= y:
		return 0, 2, 1
	case z >= x && x >= y:
		return 2, 0, 1
	case y >= x && x >= z:
		return 1, 0, 2
	case y >= z && z >= x:
		return 1, 2, 0
	}
	return 2, 1, 0
}
