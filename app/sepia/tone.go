package sepia

import (
	"math"
	"sync"
)

// The look: brightness +10, contrast +30, sepia 60, saturation -30, in this order.
const (
	brightness = 25  // +10 % of 255, rounded down as the book's engine does
	contrast   = 1.3 // (100+30)/100, used squared
	sepia      = 0.6
	saturation = 0.3 // how far a channel is drawn towards the largest one
)

// toneTables holds what the four filters make of each byte, as far as that can be known before the other two
// channels are seen. Everything is computed in doubles, in the order in which the filters are defined, with every
// product rounded before it is added: Go fuses x*y+z into one rounding on arm64, which changes colours, unless
// the product is converted to float64.
type toneTables struct {
	// The products of the sepia step, indexed by the input byte, brightness and contrast already applied.
	redR, redG, redB [256]float64
	greenG, greenB   [256]float64
	blueB            [256]float64
	// The products with the new red and green, which are doubles and cannot be looked up.
	greenR, blueR, blueG float64
	// faded is the last step: faded[m][c] is channel c of a pixel whose largest channel is m.
	faded [256][256]uint8
}

// tones is computed on first use: 65,536 divisions would be felt by every process that never sees a photo.
var tones = sync.OnceValue(func() *toneTables {
	// Variables, because Go evaluates constant expressions exactly, which no canvas does.
	var t toneTables
	a, k := float64(sepia), float64(contrast)
	k = float64(k * k)
	keep := func(f float64) float64 { return 1 - float64(f*a) }
	mix := func(f float64) float64 { return float64(f * a) }
	t.greenR, t.blueR, t.blueG = mix(0.349), mix(0.272), mix(0.534)
	for i := range 256 {
		c := float64(min(i+brightness, 255))
		c = clampRound(float64((float64((c/255-0.5)*k) + 0.5) * 255))
		t.redR[i], t.redG[i], t.redB[i] = c*keep(0.607), c*mix(0.769), c*mix(0.189)
		t.greenG[i], t.greenB[i] = c*keep(0.314), c*mix(0.168)
		t.blueB[i] = c * keep(0.869)
		for j := range 256 {
			// Channels are never above the largest one; those entries stay unused.
			most, c := float64(i), float64(j)
			t.faded[i][j] = uint8(clampRound(c + float64((most-c)*saturation)))
		}
	}
	return &t
})

// clampRound stores a number as a canvas does: within 0..255, halves to the even neighbour.
func clampRound(v float64) float64 { return math.RoundToEven(min(max(v, 0), 255)) }

// apply filters 4-byte pixels in place. The fourth byte is straight alpha; it is neither read nor changed.
func (t *toneTables) apply(pix []byte) {
	// 2^52 pushes the fraction out of the mantissa, rounding halves to even, and leaves the integer in the low bits.
	const round = 1 << 52
	greenR, blueR, blueG := t.greenR, t.blueR, t.blueG
	for ; len(pix) >= 4; pix = pix[4:] {
		p := pix[:4:4]
		ri, gi, bi := p[0], p[1], p[2]
		r := t.redR[ri] + t.redG[gi] + t.redB[bi]
		if r > 255 {
			r = 255
		}
		g := float64(r*greenR) + t.greenG[gi] + t.greenB[bi]
		if g > 255 {
			g = 255
		}
		b := float64(r*blueR) + float64(g*blueG) + t.blueB[bi]
		if b > 255 {
			b = 255
		}
		r8 := uint8(math.Float64bits(r + round))
		g8 := uint8(math.Float64bits(g + round))
		b8 := uint8(math.Float64bits(b + round))
		faded := &t.faded[max(r8, g8, b8)]
		p[0], p[1], p[2] = faded[r8], faded[g8], faded[b8]
	}
}
