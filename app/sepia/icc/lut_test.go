package icc_test

import (
	"encoding/binary"
	"math"
)

// lab is a function from device values to Lab, all from 0 to 1.
type lab func(v [4]float64) [3]float64

// rgbToLab is a space of moderate colours: at the edge of the gamut, LittleCMS differs from itself.
func rgbToLab(v [4]float64) [3]float64 {
	l := 0.25*v[0] + 0.6*v[1] + 0.15*v[2]
	return [3]float64{0.04 + 0.96*math.Pow(l, 0.9), 128.0/255 + 0.12*(v[0]-v[1]), 128.0/255 + 0.15*(v[1]-v[2])*l}
}

// swapped is a space that no conversion should take.
func swapped(v [4]float64) [3]float64 { return rgbToLab([4]float64{v[2], v[0], v[1]}) }

// cmykToLab is a press whose darkest black is not 0.
func cmykToLab(v [4]float64) [3]float64 {
	l := (1 - 0.4*v[0]) * (1 - 0.55*v[1]) * (1 - 0.1*v[2]) * (1 - 0.85*v[3])
	return [3]float64{l, 128.0/255 + 0.3*(v[1]-v[0])*l, 128.0/255 + 0.35*(v[2]-0.5*v[1]-0.5*v[0])*l}
}

func greyToLab(v [4]float64) [3]float64 {
	return [3]float64{0.1 + 0.9*v[0], 128.0/255 + 0.05*v[0], 128.0 / 255}
}

// cmykTags returns the tables of a press: to Lab, and from it the inks of black.
func cmykTags(table func(in, points int, f lab) []byte) []tag {
	inks := func([4]float64) [3]float64 { return [3]float64{0.7, 0.6, 0.5} }
	toDevice := table(3, 2, inks)
	toDevice = fourth(toDevice)
	return []tag{{"A2B0", table(4, 5, cmykToLab)}, {"A2B1", table(4, 5, cmykToLab)}, {"B2A0", toDevice}}
}

// fourth makes a table with three outputs, all constant, one with a fourth output, full black ink.
func fourth(b []byte) []byte {
	wide := b[3] == '2'
	size, before := 1, 48+3*256
	if wide {
		size, before = 2, 52+3*2*2
	}
	r := append([]byte(nil), b[:before]...)
	r[9] = 4
	for i := range 8 {
		at := before + i*3*size
		r = append(r, b[at:at+3*size]...)
		r = append(r, []byte{0xF0, 0xF0}[:size]...)
	}
	curves := b[before+8*3*size:]
	one := len(curves) / 3
	return append(append(r, curves...), curves[:one]...)
}

// grid appends the entries of a table, of which code writes one.
func grid(b []byte, in, points int, f lab, code func(b []byte, v float64) []byte) []byte {
	n := 1
	for range in {
		n *= points
	}
	for i := range n {
		var v [4]float64
		rest := i
		for c := in - 1; c >= 0; c-- {
			v[c] = float64(rest%points) / float64(points-1)
			rest /= points
		}
		for _, value := range f(v) {
			b = code(b, min(max(value, 0), 1))
		}
	}
	return b
}

func code8(b []byte, v float64) []byte { return append(b, byte(math.Round(v*255))) }

func code16(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint16(b, uint16(math.Round(v*65535)))
}

// codeOld writes Lab as version 2 has it.
func codeOld(b []byte, v float64) []byte {
	return binary.BigEndian.AppendUint16(b, uint16(math.Round(v*65280)))
}

// mftHeader returns the start of a table of version 2.
func mftHeader(kind string, in, points int) []byte {
	b := append([]byte(kind), 0, 0, 0, 0, byte(in), 3, byte(points), 0)
	for i := range 9 {
		b = append(b, fixed(float64((4-i%4)/4))...)
	}
	return b
}

// mft1 returns a table of 8 bits.
func mft1(in, points int, f lab) []byte {
	b := mftHeader("mft1", in, points)
	for range in {
		for i := range 256 {
			b = append(b, byte(i))
		}
	}
	b = grid(b, in, points, f, code8)
	for range 3 {
		for i := range 256 {
			b = append(b, byte(i))
		}
	}
	return b
}

// mft2 returns a table of 16 bits.
func mft2(in, points int, f lab) []byte {
	b := append(mftHeader("mft2", in, points), 0, 2, 0, 2)
	for range in {
		b = append(b, 0, 0, 0xFF, 0xFF)
	}
	b = grid(b, in, points, f, codeOld)
	for range 3 {
		b = append(b, 0, 0, 0xFF, 0xFF)
	}
	return b
}

// mab returns a table of version 4 with A curves, a grid, M curves, a matrix and B curves.
func mab(in, points int, f lab) []byte {
	curves := func(n int, c []byte) []byte {
		var b []byte
		for range n {
			b = append(b, pad(c)...)
		}
		return b
	}
	b := make([]byte, 32)
	copy(b, "mAB ")
	b[8], b[9] = byte(in), 3
	put := func(at int, part []byte) {
		binary.BigEndian.PutUint32(b[at:], uint32(len(b)))
		b = append(b, pad(part)...)
	}
	put(28, curves(in, para(0, 1.2)))
	points16 := make([]byte, 20)
	for c := range in {
		points16[c] = byte(points)
	}
	points16[16] = 2
	put(24, grid(points16, in, points, f, code16))
	put(20, curves(3, curv(0, 0x8000, 0xFFFF)))
	matrix := make([]byte, 0, 48)
	for i := range 12 {
		matrix = append(matrix, fixed([]float64{0.98, 0, 0, 0, 1, 0, 0, 0, 1, 0.01, 0, 0}[i])...)
	}
	put(16, matrix)
	put(12, curves(3, curv()))
	return b
}
