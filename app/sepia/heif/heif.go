// Package heif reads the container of HEIC, HEIF and AVIF photos (ISO/IEC 14496-12 and 23008-12) without decoding
// pixels: which coded pictures make up the photo, in which order and size, how they are turned and cropped, and
// which colours they have. Item.File puts one coded picture into a file of its own, so that a decoder needs memory
// for one tile at a time and sees neither turns nor transparency nor profiles.
//
// The photo is the primary item: a coded picture, a grid of them, or one that is derived from another without a
// change. Thumbnails, depth maps, gain maps, Exif and all other items are ignored; so is the orientation in Exif,
// because that of the container replaces it. Of a file without a usable primary item the first key frame of the first
// track of pictures is taken, without its transparency.
//
// Time and memory are linear in the size of the boxes meta and moov, whatever they declare. No function recurses into
// boxes: only those at their proper place are read, so that nesting does not matter.
package heif

import (
	"errors"
	"image"
)

// MaxBytes limits the bytes of all coded pictures of a photo together. Several items may share their bytes, as equal
// tiles of a grid do; without a limit a small file could make a decoder work for hours. No photo within the 20 MiB of
// an upload that shares nothing has more.
const MaxBytes = 20 << 20

const (
	// maxTiles limits the pictures of a grid. A phone's tiles have 512 x 512 pixels: 50 megapixels have about 200. The
	// smallest that are usual, 256 x 256, make 800.
	maxTiles = 1024
	// maxItems and maxProperties limit what is indexed. A phone's photo has one item per tile and about 20 more, and
	// some collections have a few thousand. An index of a property has 15 bits.
	maxItems      = 16 * maxTiles
	maxProperties = 1<<15 - 1
	// maxBox limits the boxes meta and moov, which are held in memory. They have 60 bytes a tile and the ICC profile;
	// the largest common profiles, of printers, have 3 MB.
	maxBox = 4 << 20
	// maxDerivations limits how often an item is derived from another. Photos have 1, from a grid to its tiles.
	maxDerivations = 4
	// maxAuxiliary limits the auxiliary items of a photo that may be its transparency. Phones write up to 10.
	maxAuxiliary = 64
	// maxAhead limits how far behind the box meta the description of a grid may be, beside Exif.
	maxAhead = 1 << 20
	// maxSide limits the sides of every picture. A product of two is far below 1<<63, and decoders use 32 bits.
	maxSide = 1 << 20
)

// Format is the format of a photo, which follows from the codec of its pictures.
type Format string

// The formats.
const (
	HEIC Format = "heic" // coded as HEVC
	AVIF Format = "avif" // coded as AV1
)

// Image describes a photo. Slices of bytes are parts of the input.
type Image struct {
	Format Format
	// Width and Height are the size of the upright and cropped photo.
	Width, Height int
	// Plane has the colours. The decoded tiles, side by side, are cut to its Width and Height at the right and bottom.
	Plane Plane
	// Crop is the visible part of the plane, before it is turned. It is never empty.
	Crop image.Rectangle
	// Orientation is the turn, as in Exif, 1 to 8, after the crop. All rotations and mirrorings of the container are in
	// Crop and Orientation; Exif must not be applied as well.
	Orientation int
	// Alpha is nil for an opaque photo, else a plane of the same size whose luma is the transparency, in the full range
	// unless its CICP says otherwise. It is turned and cropped like the colours.
	Alpha         *Plane
	Premultiplied bool   // the colours are multiplied by alpha
	ICC           []byte // the profile, nil if there is none
	Sequence      bool   // the photo is the first key frame of a track
}

// Plane is a rectangle of pixels that consists of equal tiles.
type Plane struct {
	Width, Height         int // as stored; at most those of all tiles together
	Columns, Rows         int // 1 unless it is a grid
	TileWidth, TileHeight int
	Tiles                 []Item // row by row
	Depth                 int    // bits of a sample, 8 to 16
	Chroma                Chroma
	CICP                  *CICP // nil if neither the container nor the coded picture describes the colours
}

// Chroma is the subsampling of the colours.
type Chroma byte

// The kinds of subsampling, with the numbers of HEVC.
const (
	Monochrome Chroma = iota
	Chroma420
	Chroma422
	Chroma444
)

// CICP describes colours by the numbers of ITU-T H.273. 2 is unspecified.
type CICP struct {
	Primaries, Transfer, Matrix uint16
	FullRange                   bool
}

// Item is a coded picture.
type Item struct {
	Width, Height int // that the container declares and the decoded picture has

	av1     bool
	extents []extent // of the coded data in the file
	config  []byte   // the contents of hvcC or av1C
	layers  []box    // properties that select a layer of an AV1 picture
	chroma  Chroma
	depth   int
	cicp    *CICP // written to the new file
}

// extent is a part of the file.
type extent struct{ pos, len int64 }

// UnsupportedError is the error for a valid file with a feature that this package does not support.
type UnsupportedError struct {
	Feature string // as in "This photo has …"
}

func (e *UnsupportedError) Error() string { return "unsupported: " + e.Feature }

func unsupported(feature string) error { return &UnsupportedError{feature} }

// errNoPhoto is returned for a file that has neither a primary item nor a track.
var errNoPhoto = errors.New("the file has no picture")
