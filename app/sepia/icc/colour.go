package icc

import "math"

// Products are converted to float64 explicitly wherever something is added to them: Go on arm64 would otherwise fuse
// the two operations, which rounds differently.

// matrix3 is a 3 x 3 matrix by rows.
type matrix3 [3][3]float64

// d50 is the white of the profile connection space, as LittleCMS has it.
var d50 = [3]float64{0.9642, 1, 0.8249}

// xyzToSRGB converts colours of the profile connection space to linear light of sRGB.
var xyzToSRGB = inverse(colourants([8]float64{0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06}))

func (m matrix3) apply(v [3]float64) [3]float64 {
	var r [3]float64
	for row := range m {
		r[row] = float64(m[row][0]*v[0]) + float64(m[row][1]*v[1]) + float64(m[row][2]*v[2])
	}
	return r
}

// times returns the matrix that applies n first and then m.
func (m matrix3) times(n matrix3) matrix3 {
	var r matrix3
	for c := range 3 {
		column := m.apply([3]float64{n[0][c], n[1][c], n[2][c]})
		for row := range 3 {
			r[row][c] = column[row]
		}
	}
	return r
}

// inverse returns the inverse of m. That of a matrix without one is not finite.
func inverse(m matrix3) matrix3 {
	var r matrix3
	for row := range 3 {
		for c := range 3 {
			a, b, d, e := (c+1)%3, (c+2)%3, (row+1)%3, (row+2)%3
			r[row][c] = float64(m[a][d]*m[b][e]) - float64(m[a][e]*m[b][d])
		}
	}
	det := float64(m[0][0]*r[0][0]) + float64(m[0][1]*r[1][0]) + float64(m[0][2]*r[2][0])
	for row := range 3 {
		for c := range 3 {
			r[row][c] /= det
		}
	}
	return r
}

// finite reports whether no element of m is infinite or not a number.
func (m matrix3) finite() bool {
	for row := range m {
		for _, v := range m[row] {
			if math.IsNaN(v) || math.IsInf(v, 0) {
				return false
			}
		}
	}
	return true
}

// colourants returns the matrix from linear RGB to the profile connection space, given the chromaticities of white,
// red, green and blue (x, y each). White is adapted to D50 as Bradford has it.
func colourants(chroma [8]float64) matrix3 {
	var m matrix3
	for c := range 3 {
		x, y := chroma[2+2*c], chroma[3+2*c]
		m[0][c], m[1][c], m[2][c] = x, y, 1-x-y
	}
	x, y := chroma[0], chroma[1]
	white := [3]float64{x / y, 1, (1 - x - y) / y}
	scale := inverse(m).apply(white)
	for row := range m {
		for c := range m[row] {
			m[row][c] *= scale[c]
		}
	}
	return adaptation(white).times(m)
}

// adaptation returns Bradford's matrix from colours under white to colours under D50.
func adaptation(white [3]float64) matrix3 {
	bradford := matrix3{{0.8951, 0.2664, -0.1614}, {-0.7502, 1.7135, 0.0367}, {0.0389, -0.0685, 1.0296}}
	from, to := bradford.apply(white), bradford.apply(d50)
	var scale matrix3
	for i := range 3 {
		scale[i][i] = to[i] / from[i]
	}
	return inverse(bradford).times(scale.times(bradford))
}

// labToXYZ converts a Lab colour to XYZ under D50.
func labToXYZ(lab [3]float64) [3]float64 {
	y := (lab[0] + 16) / 116
	f := [3]float64{y + lab[1]/500, y, y - lab[2]/200}
	for i, v := range f {
		if v <= 24.0/116 {
			f[i] = (v - 16.0/116) * (108.0 / 841) * d50[i]
		} else {
			f[i] = v * v * v * d50[i]
		}
	}
	return f
}

// lightness returns L of Lab for the luminance y.
func lightness(y float64) float64 {
	if y <= 24.0/116*(24.0/116)*(24.0/116) {
		return y * (841.0 / 108) * 116
	}
	return float64(116*math.Cbrt(y)) - 16
}

// decodeSRGB returns the linear light of an sRGB value; encodeSRGB is its inverse. Values below 0 mirror those above.
func decodeSRGB(v float64) float64 {
	switch {
	case v < 0:
		return -decodeSRGB(-v)
	case v <= 0.04045:
		return v / 12.92
	}
	return math.Pow((v+0.055)/1.055, 2.4)
}

func encodeSRGB(v float64) float64 {
	switch {
	case v < 0:
		return -encodeSRGB(-v)
	case v <= 0.04045/12.92:
		return v * 12.92
	}
	return float64(1.055*math.Pow(v, 1/2.4)) - 0.055
}

// round returns v rounded to an integer, a half upwards.
func round(v float64) int { return int(math.Floor(v + 0.5)) }

// sane returns v limited to the values that a colour may have on its way, and 0 for what is not a number.
func sane(v float64) float64 {
	if v != v {
		return 0
	}
	return min(max(v, -1e4), 1e4)
}
