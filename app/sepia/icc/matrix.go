package icc

import (
	"math"
	"sync"
)

// outputUnits is the number of steps of linear light from black to white. At the dark end of sRGB, where its curve is
// steepest, a level has 20 of them.
const outputUnits = 1 << 16

// outputLevels returns the level of sRGB of each step of linear light. All transforms share the table.
var outputLevels = sync.OnceValue(func() *[outputUnits + 1]byte {
	var t [outputUnits + 1]byte
	i := 0
	for level := range 256 {
		end := outputUnits + 1
		if level < 255 {
			end = int(math.Ceil(decodeSRGB((float64(level)+0.5)/255) * outputUnits))
		}
		for ; i < end; i++ {
			t[i] = byte(level)
		}
	}
	return &t
})

// A field of a packed sum has 21 bits. Each of the three values that are added is biased, for negative light, and so
// limited that no sum reaches the next field. The limits are -3.5 and 7.1 times white: more than any real primaries
// need.
const (
	fieldBits = 21
	fieldMask = 1<<fieldBits - 1
	entryBias = 7 * outputUnits / 2
	entryMax  = fieldMask / 3
)

// matrixTables converts RGB pixels by three curves, a matrix and the curve of sRGB. For each channel and each of its
// values, packed has the light that it adds to red, green and blue, in three fields. The sum of three entries is the
// product with the matrix.
type matrixTables struct {
	packed [3][256]uint64
	fine   [3][finePoints]int32 // linear light of 16-bit values, in units of 2^-20
	matrix [3][3]int64          // in units of 2^-16
	output *[outputUnits + 1]byte
}

// fineUnits is the number of steps of linear light in the tables for 16-bit values.
const fineUnits = 1 << 20

// newMatrix returns the tables of three curves and a matrix from their linear light to that of sRGB.
func newMatrix(curves [3]curve, m matrix3) *matrixTables {
	m = keepGrey(m)
	t := &matrixTables{output: outputLevels()}
	for c := range t.fine {
		for i := range t.fine[c] {
			light := curves[c].at(float64(i) / (finePoints - 1))
			t.fine[c][i] = int32(round(min(max(light, -4), 4) * fineUnits))
		}
		for row := range m {
			t.matrix[row][c] = int64(round(min(max(m[row][c], -1000), 1000) * outputUnits))
		}
	}
	for v := range 256 {
		var light [3]float64
		for c := range light {
			light[c] = min(max(curves[c].at(float64(v)/255), -4), 4)
		}
		for row := range m {
			t.pack(v, row, m[row], light)
		}
	}
	return t
}

// pack stores what value v of each channel adds to one row of the result. The rounded entries of red and green are
// made up for by that of blue, so that a grey pixel has the same sum in each row.
func (t *matrixTables) pack(v, row int, m [3]float64, light [3]float64) {
	var entry [3]int64
	sum := 0.0
	for c := range entry {
		product := float64(float64(m[c]*light[c]) * outputUnits)
		sum += product
		entry[c] = int64(round(min(max(product, -entryBias), entryMax)))
	}
	entry[2] = int64(round(min(max(sum, -entryMax), entryMax))) - entry[0] - entry[1]
	for c := range entry {
		field := min(max(entry[c]+entryBias, 0), entryMax)
		t.packed[c][v] |= uint64(field) << (fieldBits * row)
	}
}

// keepGrey returns m with rows that add up to 1 if they nearly do. A profile's numbers have 16 bits, and LittleCMS's
// D50 four digits: without this, grey photos would have a faint tint.
func keepGrey(m matrix3) matrix3 {
	const tolerance = 1e-3
	for row := range m {
		sum := m[row][0] + m[row][1] + m[row][2]
		if !(math.Abs(sum-1) < tolerance) {
			return m
		}
	}
	for row := range m {
		sum := m[row][0] + m[row][1] + m[row][2]
		for c := range m[row] {
			m[row][c] /= sum
		}
	}
	return m
}

func (t *matrixTables) convert(dst, src []byte) {
	out := t.output
	for n := min(len(dst), len(src)) / 3; n > 0; n-- {
		s, d := src[:3:3], dst[:3:3]
		sum := t.packed[0][s[0]] + t.packed[1][s[1]] + t.packed[2][s[2]]
		d[0] = out[light(sum)]
		d[1] = out[light(sum>>fieldBits)]
		d[2] = out[light(sum>>(2*fieldBits))]
		dst, src = dst[3:], src[3:]
	}
}

// light returns the lowest field of a sum of three entries, within the range of the output table.
func light(sum uint64) int {
	return min(max(int(sum&fieldMask)-3*entryBias, 0), outputUnits)
}

func (t *matrixTables) convert16(dst, src []byte) {
	for n := min(len(dst)/3, len(src)/6); n > 0; n-- {
		var l [3]int64 // in units of 2^-24
		for c := range l {
			i, part := fine(src[2*c:])
			l[c] = int64(t.fine[c][i])*int64(16-part) + int64(t.fine[c][i+1])*int64(part)
		}
		for row := range t.matrix {
			m := &t.matrix[row]
			v := (m[0]*l[0] + m[1]*l[1] + m[2]*l[2] + 1<<23) >> 24
			dst[row] = t.output[min(max(v, 0), outputUnits)]
		}
		dst, src = dst[3:], src[6:]
	}
}
