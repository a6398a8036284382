package sepia

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"runtime"
	"runtime/debug"
	"time"

	"imagery/app/imagery"
)

// Limits of a photo.
const (
	MaxBytes         = 20 << 20   // of the file; Peak relies on it
	DefaultMaxPixels = 50_000_000 // width x height
	MaxScans         = 100        // of a JPEG: 73 bytes make a decoder work for 10 ms at 48 megapixels
)

// DecodeTimeout is how long a photo may take to decode before it is refused for good. The largest legal photos take
// a few seconds; the rest of the pipeline, all of it for a plain JPEG, depends on the number of pixels alone and needs
// no deadline.
const DecodeTimeout = 45 * time.Second

// Filter is the sepia filter. The zero value is ready; it is safe for concurrent use.
type Filter struct {
	MaxPixels     int64         // width x height; 0 means DefaultMaxPixels
	MaxMemory     int64         // bytes that one photo may need; 0 means LargestPeak(MaxPixels), which is also the most
	DecodeTimeout time.Duration // 0 means the constant of that name

	decoders map[Format]func(io.Reader) (image.Image, error) // nil means the real ones
}

var _ imagery.Filter = Filter{}

// Inspect returns what Apply takes; a *imagery.BadPhoto if Apply would refuse from the header.
func (f Filter) Inspect(raw []byte) (imagery.Cost, error) {
	p, err := f.inspect(raw)
	if err != nil {
		return imagery.Cost{}, err
	}
	return imagery.Cost{Memory: p.Peak(), Work: p.Work(), Size: int64(len(raw))}, nil
}

// job is one photo on its way through the pipeline.
type job struct {
	filter   Filter
	photo    Photo
	raw      []byte
	img      image.Image // what the last step made of the photo
	lossy    bool        // the result is a JPEG; known after reduce, when a WebP has shown whether it is opaque
	out      sink        // what the encoder wrote
	streamed bool        // no more than a few strips of it were held
	body     []byte
}

// open reads the header.
func (f Filter) open(raw []byte) (*job, error) {
	photo, err := f.inspect(raw)
	return &job{filter: f, photo: photo, raw: raw}, err
}

// inspect is Inspect with the whole photo.
func (f Filter) inspect(raw []byte) (Photo, error) { return f.Check(bytes.NewReader(raw)) }

// Check is the package's Inspect with the limits of the filter: it also refuses a photo that needs more memory than it
// may have. That error names a size that would pass.
func (f Filter) Check(r io.Reader) (Photo, error) {
	photo, err := Inspect(r, f.MaxPixels)
	if err != nil {
		return Photo{}, err
	}
	most := LargestPeak(cmp.Or(max(f.MaxPixels, 0), DefaultMaxPixels))
	if f.MaxMemory > 0 {
		most = min(most, f.MaxMemory)
	}
	if photo.Peak() > most {
		return Photo{}, photo.tooLarge(most)
	}
	return photo, nil
}

// pipeline is what happens to a photo once its header has been read. A step that does not fit is left out.
var pipeline = []struct {
	name string
	fits func(*job) bool
	run  func(context.Context, *job) error
}{
	{"stream", always, stream},    // a plain JPEG, all at once
	{"decode", undecoded, decode}, // any colour model
	{"reduce", picture, reduce},   // 8 bit, straight alpha, the whole canvas
	{"strips", picture, strips},   // what is in planes and becomes a JPEG: all the rest
	{"orient", picture, orient},   // upright
	{"tone", picture, tone},       // sepia
	{"encode", picture, encode},   // JPEG or PNG, in pieces
	{"join", always, join},        // in one piece
}

func always(*job) bool      { return true }
func picture(j *job) bool   { return j.img != nil }
func undecoded(j *job) bool { return j.img == nil && j.out.size == 0 }

// collectFrom is the peak in bytes from which Apply collects garbage between steps. Below it the allowance in Peak
// covers everything that a job leaves behind.
const collectFrom = allowance + 4<<20

// Apply returns the sepia photo. It fails with a *imagery.BadPhoto when the photo is to blame, or with ctx's error
// when the caller gave up. It reads ctx while it decodes and encodes and between blocks of pixels; the longest
// it goes without is the turning, or the inner loop of a lossy WebP, of one large photo: about two seconds.
// A JPEG, and a WebP that becomes one, is developed on as many as maxCores cores; the bytes are the same on any number.
func (f Filter) Apply(ctx context.Context, raw []byte) (res imagery.Result, err error) {
	step := "inspect"
	// A decoder that panics must not take the process, and the photos of others, with it: the next worker to
	// receive this photo would go the same way.
	defer func() {
		if v := recover(); v != nil {
			res, err = imagery.Result{}, unreadable("This photo cannot be developed.",
				fmt.Errorf("%s panicked: %v\n%s", step, v, debug.Stack()))
		}
	}()
	j, err := f.open(raw)
	if err != nil {
		return imagery.Result{}, err
	}
	collect := j.photo.Peak() >= collectFrom
	for _, s := range pipeline {
		if !s.fits(j) {
			continue
		}
		step = s.name
		if err := s.run(ctx, j); err != nil {
			if ctx.Err() != nil {
				return imagery.Result{}, ctx.Err()
			}
			var bad *imagery.BadPhoto
			if errors.As(err, &bad) {
				return imagery.Result{}, err
			}
			return imagery.Result{}, fmt.Errorf("%s photo: %w", step, err)
		}
		// What this step dropped would otherwise stay beside what the next one allocates: with a progressive
		// JPEG 15 bytes a pixel instead of 4. A stream drops nothing, and wants its buffers back.
		if collect && !j.streamed {
			runtime.GC()
		}
	}
	if j.lossy {
		return imagery.Result{Body: j.body, Ext: "jpg", ContentType: "image/jpeg"}, nil
	}
	return imagery.Result{Body: j.body, Ext: "png", ContentType: "image/png"}, nil
}
