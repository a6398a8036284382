package sepia

import (
	"math"

	"imagery/app/sepia/baseline"
)

// cost is what one photo takes, in bytes. Memory that a step dropped counts until the step ends: nothing makes the
// garbage collector run before.
type cost struct {
	decode int64 // everything that the decoder allocates
	image  int64 // the part of it that the decoded image holds
	reduce int64 // what reduce allocates; 0 when it works in place
	result int64 // for each pixel of the result, when nothing compresses
	planar bool  // it becomes a JPEG by way of strips: neither turning nor toning needs more than those
}

// Bytes that a pixel of the result takes at most. A PNG of noise is stored as it is. JPEG is bounded by the energy
// of a block: noise in black and white, the worst that was found, takes 1.0 bytes at quality 90.
const (
	jpegResult       = 2
	pngResult        = 4
	pngPaletteResult = 1
)

// allowance covers what does not grow with the photo (the tables, the compressor's state, the first buffers) and
// what a job of less than collectFrom leaves uncollected.
const allowance = 16 << 20

// Peak returns the bytes that Apply holds at its peak for this header, beside the raw bytes. The process grows by
// no more, as long as other work does not produce garbage at the same time.
func (p Photo) Peak() int64 {
	pixels := int64(p.Width) * int64(p.Height)
	width, result := int64(p.Width), p.cost.result
	live := p.cost.image
	peak := max(p.cost.decode, live+p.cost.reduce)
	live = max(live, p.cost.reduce)
	switch {
	case p.cost.planar:
		live += p.strips()
	case p.Orientation > 1:
		height := int64(p.Height)
		if p.Orientation >= 5 {
			width, height = height, width
		}
		// imaging.Rotate90 and its like make an NRGBA image, and queue every row number beforehand.
		peak = max(peak, live+4*pixels+8*height)
		live = 4 * pixels
		if result == pngPaletteResult {
			result = pngResult
		}
	}
	// The PNG encoder tries five filters on each row and keeps the row before.
	const rows = 6
	peak = max(peak, live+result*pixels+rows*result*width)
	// join has the result twice.
	peak = max(peak, 2*result*pixels)
	// The runtime's own tables for the heap, and spans that are not filled.
	return allowance + peak + peak/32
}

// strips is what all strips take together: three planes at most, and a result in a buffer that grew.
func (p Photo) strips() int64 {
	width := p.Width
	if p.Orientation >= 5 {
		width = p.Height
	}
	return maxStrips * int64(wholeMCUs(width)) * int64(baseline.StripHeight(width)) * (3 + 2*jpegResult)
}

// LargestPeak returns the largest Peak that a photo within maxPixels may have; a Filter refuses the few kinds that
// need more (a progressive CMYK JPEG near the limit, a PNG of one or two rows of millions of pixels). A process that
// develops photos needs a memory budget of this size.
func LargestPeak(maxPixels int64) int64 {
	side := int(math.Ceil(math.Sqrt(float64(maxPixels))))
	progressive := jpegFrame{width: side, height: side, progressive: true,
		components: []jpegComponent{{1, 1, 1}, {2, 1, 1}, {3, 1, 1}}}
	deep := pngHeader{width: side, height: side, depth: 16, colour: pngRGBA, interlaced: true}
	lossless := webpFrame{width: side, height: side, lossless: true, data: span{0, MaxBytes}}
	lossy := webpFrame{width: side, height: side, data: span{0, MaxBytes}, alpha: span{0, MaxBytes}}
	var largest int64
	for _, c := range []cost{progressive.cost(), deep.cost(), lossless.cost(), lossy.cost()} {
		turned := Photo{Width: side, Height: side, Orientation: 6, cost: c}
		largest = max(largest, turned.Peak())
	}
	return largest + largest/16 // long and narrow photos have more padding than square ones
}
