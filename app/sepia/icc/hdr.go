package icc

import "math"

// Light of high dynamic range is in units of white on an ordinary screen, which BT.2408 has at 203 candela per square
// metre. The brightest is taken to be 1000, for which most pictures are made.
const (
	paperWhite = 203.0
	peakWhite  = 1000 / paperWhite
)

// newHDR returns the conversion of colours with the curve of PQ, or of HLG, and these chromaticities.
func newHDR(chroma [8]float64, hlg bool) *Transform {
	m := colourants(chroma)
	s := &hdrStage{hlg: hlg, luminance: m[1]}
	return &Transform{channels: 3, grid: newGrid(newPipeline(linearSpace, s, &matrixStage{m: m}), 3)}
}

// hdrStage decodes PQ or HLG and compresses the light to the range of an ordinary screen.
type hdrStage struct {
	hlg       bool
	luminance [3]float64 // of red, green and blue
}

func (s *hdrStage) apply(v *[4]float64) {
	l := [3]float64{v[0], v[1], v[2]}
	if s.hlg {
		y := 0.0
		for i := range l {
			l[i] = decodeHLG(l[i])
			y += float64(l[i] * s.luminance[i])
		}
		system := peakWhite * math.Pow(max(y, 0), 0.2) // the system gamma of 1.2, for a screen of 1000
		for i := range l {
			l[i] *= system
		}
	} else {
		for i := range l {
			l[i] = decodePQ(l[i]) / paperWhite
		}
	}
	// Reinhard's curve on the brightest channel, as Chromium has it: dark light stays, peakWhite becomes 1.
	brightest := max(l[0], l[1], l[2], 0)
	scale := (1 + brightest/(peakWhite*peakWhite)) / (1 + brightest)
	for i := range l {
		v[i] = min(l[i]*scale, 1)
	}
}

// decodePQ returns candela per square metre.
func decodePQ(v float64) float64 {
	p := math.Pow(max(v, 0), 1/78.84375)
	return 10000 * math.Pow(max(p-0.8359375, 0)/(18.8515625-float64(18.6875*p)), 1/0.1593017578125)
}

// decodeHLG returns the light of the scene, from 0 to 1.
func decodeHLG(v float64) float64 {
	const a, b, c = 0.17883277, 0.28466892, 0.55991073
	if v <= 0.5 {
		return max(v, 0) * max(v, 0) / 3
	}
	return (math.Exp((v-c)/a) + b) / 12
}
