package sepia

import (
	"image"
	"math"

	"imagery/app/sepia/pngstream"
)

// cost has the memory of one photo, in bytes, without that of its result.
type cost struct {
	decode int64 // at most, before or while memory is released for the result
	image  int64 // while the result is complete
	planar bool  // the result is a JPEG that is made of planes, in strips
	result int64 // per pixel of any other result, if nothing compresses
}

// pngResult is the maximum of cost.result.
const pngResult = 4

// allowance covers the memory that does not depend on the size of the photo (tables, state of the compressor, first
// buffers) and the garbage of a job with a peak below collectFrom.
const allowance = 16 << 20

// Peak returns the maximum memory of Apply for this photo, in bytes, without the file itself. The process does not grow
// by more unless other goroutines produce garbage at the same time.
func (p Photo) Peak() int64 {
	pixels := int64(p.Width) * int64(p.Height)
	live := p.cost.image + p.cost.result*pixels
	if p.cost.planar {
		width := p.Width
		if p.Orientation >= 5 {
			width = p.Height
		}
		live += draftMemory(pixels) + stripsMemory(width)
	}
	peak := max(p.cost.decode, live) + p.colours.memory(p.Width)
	// For the heap tables of the runtime and partly used spans.
	return allowance + peak + peak/32
}

// bands returns the memory of the parts of a photo that are turned at once, with garbage. They have whole rows.
func bands(row, pixels int64) int64 { return 4 * min(max(int64(bandSize), 4*row), 4*pixels) }

// draftMemory returns the maximum bytes of a photo's drafts and of what is already written of its result. Most was
// found for pixels whose red, green and blue are 0 or 255 at random: 1.05 bytes per pixel, nearly all of it drafts.
func draftMemory(pixels int64) int64 { return pixels * 5 / 4 }

// stripsMemory returns the maximum memory of all strips of a photo of that width.
func stripsMemory(width int) int64 { return int64(2 * stripCores(width) * stripMemory(width)) }

// LargestPeak returns the largest Peak of photos with up to maxPixels. A Filter rejects the few photos that need more,
// such as a PNG with one or two rows of millions of pixels. A process that runs Apply needs a memory budget of this
// size.
func LargestPeak(maxPixels int64) int64 {
	side := int(math.Ceil(math.Sqrt(float64(maxPixels))))
	progressive := jpegFrame{width: side, height: side, progressive: true, orientation: 6,
		components: []jpegComponent{{1, 1, 1}, {2, 1, 1}, {3, 1, 1}, {4, 1, 1}}}
	deep := pngHeader{orientation: 6, Header: pngstream.Header{Width: side, Height: side, Depth: 16,
		Colour: pngstream.ColourRGBA, Interlaced: true}}
	lossless := webpFrame{width: side, height: side, canvas: image.Pt(side, side), lossless: true,
		data: span{0, MaxBytes}}
	lossy := webpFrame{width: side, height: side, canvas: image.Pt(side, side), data: span{0, MaxBytes},
		alpha: span{0, MaxBytes}}
	described := colours{profile: []span{{0, maxProfile}}}
	var largest int64
	for _, c := range []cost{progressive.cost(), deep.cost(), lossless.cost(), lossy.cost()} {
		turned := Photo{Width: side, Height: side, Orientation: 6, cost: c, colours: described}
		largest = max(largest, turned.Peak())
	}
	return largest + largest/16 // long and narrow photos have more padding
}
