package icc

import (
	"fmt"
	"math"
)

// chromaticities lists white, red, green and blue of the code points of ITU-T H.273 for primaries.
var chromaticities = map[uint16][8]float64{
	1:  {0.3127, 0.3290, 0.640, 0.330, 0.300, 0.600, 0.150, 0.060}, // BT.709, sRGB
	4:  {0.310, 0.316, 0.67, 0.33, 0.21, 0.71, 0.14, 0.08},         // BT.470 M
	5:  {0.3127, 0.3290, 0.64, 0.33, 0.29, 0.60, 0.15, 0.06},       // BT.601, 625 lines
	6:  {0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070}, // BT.601, 525 lines
	7:  {0.3127, 0.3290, 0.630, 0.340, 0.310, 0.595, 0.155, 0.070}, // SMPTE 240M
	8:  {0.310, 0.316, 0.681, 0.319, 0.243, 0.692, 0.145, 0.049},   // film
	9:  {0.3127, 0.3290, 0.708, 0.292, 0.170, 0.797, 0.131, 0.046}, // BT.2020
	10: {1.0 / 3, 1.0 / 3, 1, 0, 0, 1, 0, 0},                       // XYZ
	11: {0.314, 0.351, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060},   // DCI P3
	12: {0.3127, 0.3290, 0.680, 0.320, 0.265, 0.690, 0.150, 0.060}, // Display P3
	22: {0.3127, 0.3290, 0.630, 0.340, 0.295, 0.605, 0.155, 0.077}, // EBU 3213-E
}

// CICP returns the conversion to sRGB of colours with these code points of ITU-T H.273, or nil if they count as sRGB.
// Unspecified (2) counts as sRGB. So do the curves of BT.709, BT.601 and BT.2020, as in Chromium: they describe
// cameras, and their pictures are made for a screen like that of sRGB. PQ and HLG are brought into the range of sRGB
// as Chromium does for a screen of that range. An error means that the code points are reserved or have no such
// meaning.
func CICP(primaries, transfer uint16) (*Transform, error) {
	if primaries == 2 {
		primaries = 1
	}
	chroma, ok := chromaticities[primaries]
	if !ok {
		return nil, fmt.Errorf("no colours have the code point %d", primaries)
	}
	if transfer == 16 || transfer == 18 {
		return newHDR(chroma, transfer == 18), nil
	}
	c, ok := transferCurve(transfer)
	if !ok {
		return nil, fmt.Errorf("no curve has the code point %d", transfer)
	}
	return orNil(byChroma(c, chroma)), nil
}

// transferCurve returns the curve of a code point of ITU-T H.273, from the value to light.
func transferCurve(transfer uint16) (curve, bool) {
	switch transfer {
	case 1, 2, 6, 11, 12, 13, 14, 15:
		return curveFunc(decodeSRGB), true
	case 4:
		return gammaCurve(2.2), true
	case 5:
		return gammaCurve(2.8), true
	case 7: // SMPTE 240M
		return &parametric{g: 1 / 0.45, a: 1 / 1.1115, b: 0.1115 / 1.1115, c: 1 / 4.0, d: 4 * 0.0228}, true
	case 8:
		return gammaCurve(1), true
	case 9, 10: // logarithmic, over two decades and two and a half
		decades := 2 + 0.5*float64(transfer-9)
		return curveFunc(func(x float64) float64 {
			if x <= 0 {
				return 0
			}
			return math.Pow(10, float64((x-1)*decades))
		}), true
	case 17: // SMPTE 428
		return curveFunc(func(x float64) float64 { return min(math.Pow(max(x, 0), 2.6)*52.37/48, 1) }), true
	}
	return nil, false
}

// curveFunc is a curve that is computed.
type curveFunc func(x float64) float64

func (f curveFunc) at(x float64) float64 { return f(x) }

// byChroma returns the conversion of colours with one curve and these chromaticities.
func byChroma(c curve, chroma [8]float64) *Transform {
	return &Transform{channels: 3, matrix: newMatrix([3]curve{c, c, c}, xyzToSRGB.times(colourants(chroma)))}
}

// Gamma returns the conversion of RGB pixels of a PNG by its chunks gAMA and cHRM. gamma is that of the file, such as
// 0.45455, and 0 without gAMA. chroma has the x and y of white, red, green and blue, and is nil without cHRM; that of
// sRGB counts as none. It returns nil for what counts as sRGB: a gamma within 5 % of 1/2.2 without other primaries,
// and a file without gAMA, whose cHRM browsers ignore, too.
func Gamma(gamma float64, chroma *[8]float64) (*Transform, error) {
	if gamma == 0 {
		return nil, nil
	}
	if !(gamma >= 0.01 && gamma <= 100) {
		return nil, fmt.Errorf("the gamma %v is out of range", gamma)
	}
	space := chromaticities[1]
	if chroma != nil && !near(*chroma, space) {
		space = *chroma
	} else if math.Abs(gamma*2.2-1) <= 0.05 {
		return nil, nil
	}
	for i := 0; i < len(space); i += 2 {
		x, y := space[i], space[i+1]
		if !(x >= 0 && y >= 0 && x <= 2 && y <= 2) || i == 0 && y < 0.01 {
			return nil, fmt.Errorf("the chromaticity %v, %v is out of range", x, y)
		}
	}
	if m := colourants(space); !m.finite() || !inverse(m).finite() {
		return nil, fmt.Errorf("the chromaticities %v describe no colours", space)
	}
	return orNil(byChroma(gammaCurve(1/gamma), space)), nil
}

// near reports whether chromaticities are the same but for rounding; libpng has the same tolerance.
func near(a, b [8]float64) bool {
	for i := range a {
		if math.Abs(a[i]-b[i]) > 0.001 {
			return false
		}
	}
	return true
}
