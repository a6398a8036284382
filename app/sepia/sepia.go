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
	"imagery/app/sepia/icc"
)

// Limits of a photo.
const (
	MaxBytes         = 20 << 20   // of the file; Peak relies on it
	DefaultMaxPixels = 50_000_000 // width x height
	MaxScans         = 100        // of a JPEG: a scan of 73 bytes takes 10 ms to decode at 48 megapixels
)

// DecodeTimeout limits the decoding of a photo; after it the photo fails permanently. The largest valid photos take a
// few seconds. The other steps depend only on the number of pixels and need no limit, as do a PNG and a baseline JPEG
// that has each plane once.
const DecodeTimeout = 45 * time.Second

// Filter is the sepia filter. The zero value is ready; it is safe for concurrent use.
type Filter struct {
	MaxPixels     int64         // width x height; 0 means DefaultMaxPixels
	MaxMemory     int64         // memory of one photo in bytes; 0 means LargestPeak(MaxPixels), also the maximum
	DecodeTimeout time.Duration // 0 means the constant DecodeTimeout
}

var _ imagery.Filter = Filter{}

// Inspect returns the cost of Apply, or a *imagery.BadPhoto if the header shows that Apply would fail.
func (f Filter) Inspect(raw []byte) (imagery.Cost, error) {
	p, err := f.inspect(raw)
	if err != nil {
		return imagery.Cost{}, err
	}
	return imagery.Cost{Memory: p.Peak(), Work: p.Work(), Size: int64(len(raw))}, nil
}

// job is the state of one photo in the pipeline.
type job struct {
	filter   Filter
	photo    Photo
	raw      []byte
	img      image.Image    // result of the last step
	lossy    bool           // the result is a JPEG; known after decode, because a WebP may be opaque
	out      sink           // output of the encoder
	streamed bool           // processed with only a few strips or rows in memory
	colours  *icc.Transform // of the pixels to sRGB, nil if they are
	warning  string         // what was mended, for the user
}

// open reads the header and returns a new job.
func (f Filter) open(raw []byte) (*job, error) {
	photo, err := f.inspect(raw)
	return &job{filter: f, photo: photo, raw: raw, lossy: photo.Format == JPEG}, err
}

// inspect calls Check for a whole file.
func (f Filter) inspect(raw []byte) (Photo, error) { return f.Check(bytes.NewReader(raw)) }

// Check is the function Inspect with the limits of the filter. It also rejects a photo that needs more memory than
// available; that error names a size that would pass.
func (f Filter) Check(r io.Reader) (Photo, error) {
	photo, err := Inspect(r, f.MaxPixels)
	if err != nil {
		return Photo{}, err
	}
	available := LargestPeak(cmp.Or(max(f.MaxPixels, 0), DefaultMaxPixels))
	if f.MaxMemory > 0 {
		available = min(available, f.MaxMemory)
	}
	if photo.Peak() > available {
		return Photo{}, photo.tooLarge(available)
	}
	return photo, nil
}

// pipeline has the steps of Apply after the header was read. A step for which fits is false is skipped.
var pipeline = []struct {
	name string
	fits func(*job) bool
	run  func(context.Context, *job) error
}{
	{"colours", described, findColours},
	{"stream", isJPEG, stream},     // a JPEG, completely if it is upright
	{"png", streamable, streamPNG}, // a PNG, completely
	{"decode", undecoded, decode},  // any colour model
	{"strips", picture, strips},    // YCbCr planes that become a JPEG: all remaining steps
	{"encode", picture, encode},    // turns, filters and encodes a band of rows at a time
}

func picture(j *job) bool    { return j.img != nil && j.out.size == 0 }
func streamable(j *job) bool { return j.photo.Format == PNG }
func undecoded(j *job) bool  { return j.img == nil && j.out.size == 0 }

// collectFrom is the peak, in bytes, from which Apply runs the garbage collector between steps. Below it the allowance
// in Peak covers the garbage of a job.
const collectFrom = allowance + 4<<20

// returnFrom is the peak, in bytes, from which Apply returns the memory of a photo that was held as a whole. The next
// photo may not fit into the same place of the heap, if only its file lies there, and the process would grow by both.
const returnFrom = 3 * allowance

// Apply returns the filtered photo. It returns a *imagery.BadPhoto if the photo cannot be processed, or the error of
// ctx once it has ended. It checks ctx while it decodes and encodes and between blocks of pixels. The longest time
// without a check is about two seconds, for the inner loop of a large lossy WebP. A photo that becomes a JPEG is
// processed on up to maxCores cores; the result does not depend on their number.
func (f Filter) Apply(ctx context.Context, raw []byte) (res imagery.Result, err error) {
	step := "inspect"
	// A panic of a decoder must not end the process: other photos would fail too, and every worker that receives
	// this photo would crash.
	defer func() {
		if v := recover(); v != nil {
			res, err = imagery.Result{}, unreadable("This photo cannot be processed.",
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
		// Otherwise the garbage of this step would add to the memory of the next one: for a progressive JPEG 15
		// bytes per pixel instead of 4. A streamed photo has no garbage, and a collection would empty its pools.
		switch {
		case !collect || j.streamed:
		case j.out.size > 0 && j.photo.Peak() >= returnFrom:
			debug.FreeOSMemory()
		default:
			runtime.GC()
		}
	}
	res = j.out.result(j.lossy)
	res.Warning = j.warning
	return res, nil
}
