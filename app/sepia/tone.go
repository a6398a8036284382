package sepia

import (
	"math"
	"sync"
)

// The filter: brightness +10, contrast +30, sepia 60, saturation -30, in this order.
const (
	brightness = 25  // +10 % of 255, rounded down like the original application
	contrast   = 1.3 // (100+30)/100, used squared
	sepia      = 0.6
	saturation = 0.3 // how far a channel moves towards the largest one
)

// toneTables has the parts of the four filters that depend on a single channel, for each byte. All computations are in
// float64 in the order of the filter definitions. Products are converted to float64 before they are added: otherwise Go
// may fuse x*y+z on arm64, which rounds once and changes colours.
type toneTables struct {
	// The products of the sepia step by input byte, after brightness and contrast.
	redR, redG, redB [256]float64
	greenG, greenB   [256]float64
	blueB            [256]float64
	// The factors for the new red and green, which are no bytes and cannot index a table.
	greenR, blueR, blueG float64
	// faded is the saturation step: faded[m][c] is the result for channel c if the largest channel is m.
	faded [256][256]uint8

	vectors *toneVectors
}

// tones returns the tables. They are computed at first use, to keep the start of other processes fast.
var tones = sync.OnceValue(func() *toneTables {
	// Variables, because Go evaluates constant expressions exactly and a canvas does not.
	var t toneTables
	a, k := float64(sepia), float64(contrast)
	k = float64(k * k)
	keep := func(f float64) float64 { return 1 - float64(f*a) }
	mix := func(f float64) float64 { return float64(f * a) }
	t.vectors = newToneVectors(keep, mix)
	t.greenR, t.blueR, t.blueG = mix(0.349), mix(0.272), mix(0.534)
	for i := range 256 {
		c := float64(min(i+brightness, 255))
		c = clampRound(float64((float64((c/255-0.5)*k) + 0.5) * 255))
		t.redR[i], t.redG[i], t.redB[i] = c*keep(0.607), c*mix(0.769), c*mix(0.189)
		t.greenG[i], t.greenB[i] = c*keep(0.314), c*mix(0.168)
		t.blueB[i] = c * keep(0.869)
		for j := range 256 {
			// Entries with c above m are unused.
			most, c := float64(i), float64(j)
			t.faded[i][j] = uint8(clampRound(c + float64((most-c)*saturation)))
		}
	}
	return &t
})

// clampRound rounds like a canvas: to 0..255, halves to even.
func clampRound(v float64) float64 { return math.RoundToEven(min(max(v, 0), 255)) }

// apply filters pixels of 3 or 4 bytes in place. The fourth byte, straight alpha, is ignored.
func (t *toneTables) apply(pix []byte, size int) {
	pix = t.applyVectors(pix, size)
	// Adding 2^52 rounds to an integer, halves to even, and leaves it in the low bits of the mantissa.
	const round = 1 << 52
	greenR, blueR, blueG := t.greenR, t.blueR, t.blueG
	for ; len(pix) >= size; pix = pix[size:] {
		p := pix[:3:3]
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
