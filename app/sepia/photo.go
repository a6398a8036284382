package sepia

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"math"

	"imagery/app/imagery"
	"imagery/app/sepia/heif"
	"imagery/app/sepia/pngstream"
)

// Format is the file format of a photo.
type Format string

// The accepted formats.
const (
	JPEG Format = "jpeg"
	PNG  Format = "png"
	GIF  Format = "gif"
	WebP Format = "webp"
	HEIC Format = "heic" // also HEIF
	AVIF Format = "avif"
)

// sniffLen is the number of bytes that identify every format.
const sniffLen = 12

// Sniff returns the format of a file from its first bytes, at least 12. It returns a *imagery.BadPhoto of kind
// Unsupported for any other file.
func Sniff(head []byte) (Format, error) {
	switch {
	case bytes.HasPrefix(head, []byte("\xff\xd8\xff")):
		return JPEG, nil
	case bytes.HasPrefix(head, []byte(pngstream.Signature)):
		return PNG, nil
	case bytes.HasPrefix(head, []byte("GIF87a")), bytes.HasPrefix(head, []byte("GIF89a")):
		return GIF, nil
	case len(head) >= sniffLen && string(head[:4]) == "RIFF" && string(head[8:sniffLen]) == "WEBP":
		return WebP, nil
	case isHEIF(head):
		return HEIC, nil // only its pictures tell HEIC and AVIF apart
	case len(head) == 0:
		return "", unsupported("This file is empty.")
	}
	return "", unsupported("This file is not a supported photo; please send a JPEG, PNG, GIF, WebP, HEIC or AVIF.")
}

func isHEIF(head []byte) bool {
	_, ok := heif.Sniff(head)
	return ok
}

// Photo has the properties of a photo from its header.
type Photo struct {
	Format        Format
	Width, Height int // as stored; orientations 5 to 8 swap them in the result
	Orientation   int // of EXIF, 1 to 8; 1 is upright

	cost    cost
	colours colours
	webp    webpFrame
	held    bool // a PNG that must be in memory as a whole
	passes  int  // of the decoder over all pixels; 0 means 1
	// at returns the cost of a photo of the same kind with another size.
	at func(width, height int) cost
}

// Work returns the work of decoding, in pixels times passes. Each scan of a progressive JPEG is a pass over all
// coefficients, however short it is.
func (p Photo) Work() int64 { return int64(p.Width) * int64(p.Height) * int64(max(p.passes, 1)) }

// Inspect reads the structure of a photo: the header, and all markers of a JPEG or chunks of a PNG or WebP. It
// allocates little memory, whatever the header declares. r may have only the start of the file, if that contains the
// header. A maxPixels of 0 means DefaultMaxPixels.
//
// The error is a *imagery.BadPhoto, which wraps io.ErrUnexpectedEOF if r ends within the header, or else an error of r.
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
	p.Format = cmp.Or(p.Format, format)
	if p.Orientation == 0 {
		p.Orientation = 1
	}
	return p, nil
}

// readers has the function that reads the header of each format, from the first byte of the file.
var readers = map[Format]func(*source, int64) (Photo, error){
	JPEG: readJPEG, PNG: readPNG, GIF: readGIF, WebP: readWebP, HEIC: readHEIF,
}

// checkSize rejects a photo without pixels or with more than maxPixels.
func checkSize(width, height uint32, maxPixels int64) error {
	if width == 0 || height == 0 {
		return unreadable("This photo has no pixels.", nil)
	}
	// Go's decoders use signed integers.
	if width > math.MaxInt32 || height > math.MaxInt32 || int64(width)*int64(height) > maxPixels {
		return unreadable(fmt.Sprintf("This photo has %d x %d pixels; at most %d in total can be processed.",
			width, height, maxPixels), nil)
	}
	return nil
}

// ofTheBody reports whether an error after a complete header means damage or the end of the data. Inspect ignores such
// an error, because the decoder reports it.
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
