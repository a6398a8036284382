package sepia

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"imagery/app/imagery"
)

// Format is the kind of file a photo came in.
type Format string

// The formats that are taken.
const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
	GIF  Format = "gif"
	WebP Format = "webp"
)

// sniffLen is how many first bytes tell every format.
const sniffLen = 12

// Sniff tells the format from the first bytes of a file; 12 are enough. Anything else, and less, is a
// *imagery.BadPhoto of the kind Unsupported.
func Sniff(head []byte) (Format, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return JPEG, nil
	case bytes.HasPrefix(head, []byte(pngSignature)):
		return PNG, nil
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return GIF, nil
	case len(head) >= sniffLen && string(head[:4]) == "RIFF" && string(head[8:sniffLen]) == "WEBP":
		return WebP, nil
	case len(head) == 0:
		return "", unsupported("This file is empty.")
	}
	return "", unsupported("This is not a photo that we can develop; please send a JPEG, PNG, GIF or WebP.")
}

// Photo is what the header of a photo says.
type Photo struct {
	Format        Format
	Width, Height int // as stored; the orientations 5 to 8 swap them in the result
	Orientation   int // of EXIF, 1 to 8; 1 is upright

	cost   cost
	webp   webpFrame
	passes int // of the decoder over all pixels; 0 means one
	// at returns the cost of a photo of the same kind with other sides.
	at func(width, height int) cost
}

// Work returns how much decoding there is, in pixels times the passes over them. Each scan of a progressive JPEG is a
// pass over all coefficients, however few bytes it has.
func (p Photo) Work() int64 { return int64(p.Width) * int64(p.Height) * int64(max(p.passes, 1)) }

// Inspect reads the structure of a photo: headers, the markers of a whole JPEG, the chunks of a whole PNG or
// WebP. It allocates little, whatever the header declares. r may end early: a prefix that holds the header passes.
//
// It fails with a *imagery.BadPhoto. When r ended before the header was complete, that error wraps
// io.ErrUnexpectedEOF: more bytes might have made the photo readable. Any other error is r's own.
// maxPixels 0 means DefaultMaxPixels.
func Inspect(r io.Reader, maxPixels int64) (Photo, error) {
	if maxPixels <= 0 {
		maxPixels = DefaultMaxPixels
	}
	s := newSource(r)
	head, err := s.peek(sniffLen)
	if err != nil {
		return Photo{}, err
	}
	format, err := Sniff(head)
	if err != nil {
		return Photo{}, err
	}
	p, err := readers[format](s, maxPixels)
	switch bad := (*imagery.BadPhoto)(nil); {
	case err == nil:
	case errors.As(err, &bad):
		return Photo{}, err
	case errors.Is(err, io.ErrUnexpectedEOF):
		return Photo{}, unreadable("This photo ends before its header is complete.", err)
	default:
		return Photo{}, fmt.Errorf("read photo: %w", err)
	}
	p.Format = format
	if p.Orientation == 0 {
		p.Orientation = 1
	}
	return p, nil
}

// readers read the header of each format, from its first byte on.
var readers = map[Format]func(*source, int64) (Photo, error){
	JPEG: readJPEG, PNG: readPNG, GIF: readGIF, WebP: readWebP,
}

// checkSize refuses a photo without pixels or with too many. It is called before anything is allocated for them.
func checkSize(width, height uint32, maxPixels int64) error {
	if width == 0 || height == 0 {
		return unreadable("This photo has no pixels.", nil)
	}
	// No format that is read has sides over 2^32, but Go's decoders count in signed numbers.
	if width > math.MaxInt32 || height > math.MaxInt32 || int64(width)*int64(height) > maxPixels {
		return unreadable(fmt.Sprintf("This photo has %d x %d pixels; at most %d in all can be developed.",
			width, height, maxPixels), nil)
	}
	return nil
}

// ofTheBody reports whether an error met behind a complete header is the decoder's to find again: damage, or the
// end of what is there so far.
func ofTheBody(err error) bool {
	var bad *imagery.BadPhoto
	return errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &bad)
}

func unsupported(reason string) error {
	return &imagery.BadPhoto{Kind: imagery.Unsupported, Reason: reason}
}

func unreadable(reason string, cause error) error {
	return &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: reason, Err: cause}
}
