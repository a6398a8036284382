// Package pngstream is a codec for PNG that works row by row, so that a caller needs memory for a few rows only.
//
// Reader returns 8-bit samples, whatever the file has: of a 16-bit sample it keeps the high byte, or lets the caller
// convert it. Writer takes the same rows. Tests compare the reader with image/png. A picture that is complete is read
// although the file has a fault elsewhere; Reader.Mended returns that fault.
package pngstream

// Layout tells what a row of 8-bit samples has for each pixel.
type Layout int

// The layouts.
const (
	Palette Layout = iota // one byte, an index into the palette; grey photos have a palette of greys
	RGB                   // three bytes
	RGBA                  // four bytes, straight alpha
)

// Channels returns the bytes of a pixel.
func (l Layout) Channels() int { return [...]int{Palette: 1, RGB: 3, RGBA: 4}[l] }
