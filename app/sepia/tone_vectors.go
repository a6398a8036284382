package sepia

import (
	"math"

	"golang.org/x/sys/cpu"
)

// vector reports whether pixels are filtered by the instructions of AVX2. The results are the same without it.
var vector = cpu.X86.HasAVX2

// contrastBits is the number of bits behind the point of toneVectors.factor.
const contrastBits = 14

// toneVectors has the constants of toneTables for each lane. Where a result is a byte that depends on a single channel,
// or on two, integers give the same one as floating point; a test compares all colours.
type toneVectors struct {
	redR, redG, redB, greenR, greenG, greenB, blueR, blueG, blueB, limit [4]float64

	bright, spread, join [32]uint8
	// What contrast multiplies a channel with, and what it adds, which includes the half that rounds.
	factor, offset       [8]int32
	zero                 [8]int32 //lint:ignore U1000 used by assembly
	byte, half, ten, one [8]int32
	tenth                [8]int32 // of 2^16, rounded up
}

func newToneVectors(keep, mix func(float64) float64) *toneVectors {
	t := &toneVectors{}
	for i := range 4 {
		t.redR[i], t.redG[i], t.redB[i] = keep(0.607), mix(0.769), mix(0.189)
		t.greenR[i], t.greenG[i], t.greenB[i] = mix(0.349), keep(0.314), mix(0.168)
		t.blueR[i], t.blueG[i], t.blueB[i] = mix(0.272), mix(0.534), keep(0.869)
		t.limit[i] = 255
	}
	k := float64(contrast * contrast)
	for i := range 8 {
		t.factor[i] = int32(math.Round(k * (1 << contrastBits)))
		t.offset[i] = int32(math.Round((128 - 127.5*k) * (1 << contrastBits)))
		t.byte[i], t.half[i], t.ten[i], t.one[i], t.tenth[i] = 255, 5, 10, 1, (1<<16+9)/10
	}
	for i := range 32 {
		t.bright[i] = brightness
		// Of each lane of 16 bytes: four pixels in 12 bytes, which are the last ones in the upper lane.
		pixel, channel := i%16/4, i%4
		t.spread[i] = uint8(3*pixel + channel + i/16*4)
		if channel == 3 {
			t.spread[i] = 0x80
		}
		t.join[i] = uint8(i%16/3*4 + i%16%3)
		if i%16 >= 12 {
			t.join[i] = 0x80
		}
	}
	return t
}

// applyVectors filters as many pixels in place as fill vectors, and returns the others.
func (t *toneTables) applyVectors(pix []byte, size int) (rest []byte) {
	n := len(pix) / (8 * size)
	switch {
	case n == 0 || !vector:
		return pix
	case size == 4:
		tone4AVX2(&pix[0], n, t.vectors)
	default:
		tone3AVX2(&pix[0], n, t.vectors)
	}
	return pix[n*8*size:]
}

// planeVectors has the constants of tone420AVX2, tonePairsAVX2 and upsampleAVX2 for each lane.
type planeVectors struct {
	low, high, chroma, half, tag1 [8]uint32
	split                         [32]uint8

	tag, spread, entries, order [8]uint32 // spread and entries are the masks of webpEntry
	weights                     [16]uint8 // of a near and a far sample
	roundCb, roundCr            [8]uint16 // roundCr sets toneKey, too
}

var planeConstants = func() (t planeVectors) {
	for i := range 8 {
		t.low[i], t.high[i], t.chroma[i], t.half[i], t.tag1[i] = 0xff, 0xff00, 0xff00ff, 2<<16+2, 1<<24
		t.tag[i], t.spread[i], t.entries[i] = 0xff000000, 0xe0, uint32(len(webpCache.entries)-1)
		t.order[i] = uint32(i/2 + i%2*4)
		t.weights[2*i], t.weights[2*i+1] = 3, 1
		t.roundCb[i], t.roundCr[i] = 8, 8|toneKey>>16<<4
	}
	for i := range 32 {
		t.split[i] = uint8(4*(i%4) + i/4%2*2)
	}
	return t
}()
