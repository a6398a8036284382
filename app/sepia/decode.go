package sepia

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"image"
	"image/gif"
	"io"

	"golang.org/x/image/webp"

	"imagery/app/sepia/codec"
)

// decoders has the decoder of each format that is not streamed. image.Decode is not used, because it also accepts
// formats that imported packages have registered. Tests replace entries.
var decoders = map[Format]func(io.Reader) (image.Image, error){
	GIF: gif.Decode, WebP: webp.Decode,
}

// decode decodes the photo within the DecodeTimeout of the filter.
func decode(ctx context.Context, j *job) error {
	timeout := j.filter.DecodeTimeout
	if timeout == 0 {
		timeout = DecodeTimeout
	}
	deadline, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	img, err := j.decode(deadline)
	switch {
	case errors.Is(err, codec.ErrMemory):
		return unreadable("It takes too much memory to decode.", err)
	case err != nil && deadline.Err() != nil: // if ctx has ended, Apply returns the error of ctx
		return unreadable("It takes too long to decode.", fmt.Errorf("not decoded after %v", timeout))
	case err != nil:
		return unreadable(fmt.Sprintf("This %s is damaged or cut short.", j.photo.Format.name()), err)
	}
	if !j.photo.fits(img.Bounds()) {
		return unreadable(fmt.Sprintf("This %s is damaged.", j.photo.Format.name()),
			errors.New("the size of the decoded image differs from that in the header"))
	}
	if f := j.photo.webp; j.photo.Format == WebP && !f.covers() {
		img = placed{img, f.at}
	}
	j.img, j.raw = img, nil // allows the file to be garbage collected
	// A photo with a fully opaque alpha channel becomes a JPEG, a tenth of the size of the PNG.
	opaque, ok := img.(interface{ Opaque() bool })
	j.lossy = j.lossy || j.photo.Format != GIF && ok && opaque.Opaque()
	return nil
}

// decode decodes the photo until ctx ends.
func (j *job) decode(ctx context.Context) (image.Image, error) {
	var r io.Reader = bytes.NewReader(j.raw)
	switch j.photo.Format {
	case HEIC, AVIF:
		return decodeHEIF(ctx, j)
	case WebP:
		r = j.photo.webp.open(j.raw)
	}
	// These decoders can only be stopped by an error of their reader.
	return decoders[j.photo.Format](contextReader{ctx, r})
}

// name returns the format for error messages.
func (f Format) name() string {
	return map[Format]string{JPEG: "JPEG", PNG: "PNG", GIF: "GIF", WebP: "WebP", HEIC: "HEIC", AVIF: "AVIF"}[f]
}

// fits reports whether the decoded size is that for which memory was reserved. A GIF frame may be smaller.
func (p Photo) fits(decoded image.Rectangle) bool {
	if p.Format == WebP {
		return decoded == image.Rect(0, 0, p.webp.width, p.webp.height)
	}
	screen := image.Rect(0, 0, p.Width, p.Height)
	return decoded == screen || p.Format == GIF && decoded.In(screen)
}

// contextReader returns the error of ctx once it has ended. A decoder gets it within a few kilobytes.
type contextReader struct {
	ctx context.Context
	r   io.Reader
}

func (r contextReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
