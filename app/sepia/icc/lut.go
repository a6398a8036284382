package icc

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// lut is a tag that converts by tables, with the steps that it consists of.
type lut struct {
	stages []stage
	old    bool // Lab is encoded as in version 2
}

var errShortLUT = errors.New("a conversion table is cut short")

// readLUT reads a tag of type mft1, mft2, mAB or mBA with these numbers of channels.
func readLUT(b []byte, in, out int) (*lut, error) {
	if len(b) < 32 {
		return nil, errShortLUT
	}
	if int(b[8]) != in || int(b[9]) != out {
		return nil, fmt.Errorf("a conversion table has %d and %d channels instead of %d and %d", b[8], b[9], in, out)
	}
	switch string(b[:4]) {
	case "mft1", "mft2":
		return readOldLUT(b, in, out, b[3] == '2')
	case "mAB ":
		return readNewLUT(b, in, out, true)
	case "mBA ":
		return readNewLUT(b, in, out, false)
	}
	return nil, fmt.Errorf("a conversion table has type %q", b[:4])
}

// readOldLUT reads a tag of type mft1 (8 bits) or mft2 (16 bits): a matrix, a curve per input channel, a grid, and a
// curve per output channel.
func readOldLUT(b []byte, in, out int, wide bool) (*lut, error) {
	if len(b) < 52 {
		return nil, errShortLUT
	}
	l := &lut{old: wide}
	points := [4]int{int(b[10]), int(b[10]), int(b[10]), int(b[10])}
	if m := readMatrix(b[12:]); in == 3 && m != (matrix3{{1, 0, 0}, {0, 1, 0}, {0, 0, 1}}) {
		l.stages = append(l.stages, &matrixStage{m: m})
	}
	before, after := 256, 256
	if wide {
		before, after = int(binary.BigEndian.Uint16(b[48:])), int(binary.BigEndian.Uint16(b[50:]))
		b = b[52:]
	} else {
		b = b[48:]
	}
	curves, b, err := oldCurves(b, in, before, wide)
	if err != nil {
		return nil, err
	}
	grid, length, err := newCLUT(b, points, in, out, wide)
	if err != nil {
		return nil, err
	}
	last, _, err := oldCurves(b[length:], out, after, wide)
	if err != nil {
		return nil, err
	}
	l.stages = append(l.stages, curves, grid, last)
	return l, nil
}

// oldCurves reads n tables of the same size, and returns what follows them.
func oldCurves(b []byte, n, size int, wide bool) (curveStage, []byte, error) {
	if size < 2 {
		return nil, nil, errors.New("a curve of a conversion table has one entry")
	}
	bytes := size
	if wide {
		bytes *= 2
	}
	if len(b) < n*bytes {
		return nil, nil, errShortLUT
	}
	var s curveStage
	for range n {
		if wide {
			s = append(s, table16(b[:bytes]))
		} else {
			s = append(s, table8(b[:bytes]))
		}
		b = b[bytes:]
	}
	return s, b, nil
}

// readNewLUT reads a tag of type mAB, whose steps are A curves, grid, M curves, matrix and B curves, or mBA, which has
// them in the opposite order. All but the B curves may be missing.
func readNewLUT(b []byte, in, out int, toSpace bool) (*lut, error) {
	pcs, device := out, in
	if !toSpace {
		pcs, device = in, out
	}
	l := &lut{}
	steps := []func() (stage, error){
		func() (stage, error) { return readCurves(b, 28, device) },
		func() (stage, error) { return readGrid(b, 24, in, out) },
		func() (stage, error) { return readCurves(b, 20, pcs) },
		func() (stage, error) { return readMatrixStage(b, 16, pcs) },
		func() (stage, error) { return readCurves(b, 12, pcs) },
	}
	for i := range steps {
		step := steps[i]
		if !toSpace {
			step = steps[len(steps)-1-i]
		}
		s, err := step()
		if err != nil {
			return nil, err
		}
		if s != nil {
			l.stages = append(l.stages, s)
		}
	}
	if in != out && binary.BigEndian.Uint32(b[24:]) == 0 {
		return nil, errors.New("a conversion table lacks its grid")
	}
	return l, nil
}

// part returns what begins at the offset that stands at a position of b; nil if there is none.
func part(b []byte, at, size int) ([]byte, error) {
	offset := int64(binary.BigEndian.Uint32(b[at:]))
	if offset == 0 {
		return nil, nil
	}
	if offset > int64(len(b)-size) {
		return nil, errShortLUT
	}
	return b[offset:], nil
}

// readCurves reads n curves one after the other, each at an address that four divides.
func readCurves(b []byte, at, n int) (stage, error) {
	b, err := part(b, at, 12)
	if b == nil {
		return nil, err
	}
	var s curveStage
	for range n {
		c, length, err := readCurve(b)
		if err != nil {
			return nil, err
		}
		s = append(s, c)
		b = b[min((length+3)&^3, len(b)):]
	}
	return s, nil
}

func readGrid(b []byte, at, in, out int) (stage, error) {
	b, err := part(b, at, 20)
	if b == nil {
		return nil, err
	}
	if b[16] != 1 && b[16] != 2 {
		return nil, fmt.Errorf("a table has entries of %d bytes", b[16])
	}
	points := [4]int{int(b[0]), int(b[1]), int(b[2]), int(b[3])}
	grid, _, err := newCLUT(b[20:], points, in, out, b[16] == 2)
	if err != nil {
		return nil, err
	}
	return grid, nil
}

func readMatrixStage(b []byte, at, n int) (stage, error) {
	b, err := part(b, at, 48)
	if b == nil {
		return nil, err
	}
	if n != 3 {
		return nil, errors.New("a matrix has an unusual number of channels")
	}
	return &matrixStage{m: readMatrix(b), offset: [3]float64{fixed(b[36:]), fixed(b[40:]), fixed(b[44:])}}, nil
}

// readMatrix reads nine numbers.
func readMatrix(b []byte) matrix3 {
	var m matrix3
	for i := range 9 {
		m[i/3][i%3] = fixed(b[4*i:])
	}
	return m
}
