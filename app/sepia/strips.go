package sepia

import (
	"context"
	"fmt"
	"image"
	"runtime"
	"runtime/debug"
	"sync"

	"imagery/app/sepia/baseline"
)

// quality of every JPEG that is written, on the scale of libjpeg.
const quality = 90

var encoder = sync.OnceValue(func() *baseline.Encoder { return baseline.NewEncoder(quality) })

// maxCores is how many cores may work on the strips of one photo. Reading it cannot be divided, and takes two fifths
// of the time, so that more of them would wait.
const maxCores = 4

// maxStrips is how many strips are held at most: for each core the one it works on and the next.
const maxStrips = 2 * maxCores

// strip is a piece of the photo as high as the encoder wants it, and what becomes of it.
type strip struct {
	image.YCbCr
	planes []byte // what Y, Cb and Cr are parts of
	index  int
	last   bool
	out    []byte
	ready  chan struct{}
	failed any // what a panic said
}

// stripsPool keeps the strips of the last photo for the next one. The garbage collector empties it.
var stripsPool = sync.Pool{New: func() any { return new([maxStrips]strip) }}

// pooledStrip is the largest strip that is kept. Others would stay beside what the next photo was admitted for.
const pooledStrip = 1 << 20

// stripSource is a photo in planes, upright.
type stripSource struct {
	width, height int
	ratio         image.YCbCrSubsampleRatio
	// read fills a strip, whose first row is row y of the photo, in whole MCUs. It is called for one strip after the
	// other, from the top.
	read func(m *image.YCbCr, y int) error
}

// develop makes a photo sepia and writes it as a JPEG. Strips are read in order, by the caller's goroutine, toned and
// encoded on several cores, and written in order. The result does not depend on how many there are.
func (s stripSource) develop(ctx context.Context, out *sink) error {
	rows := baseline.StripHeight(s.width)
	n := (s.height + rows - 1) / rows
	pooled := stripsPool.Get().(*[maxStrips]strip)
	defer recycle(pooled)
	cores := min(runtime.GOMAXPROCS(0), maxCores, n)
	ring := pooled[:2*cores]
	start, stop := startCores(cores)
	defer stop()

	out.ctx = ctx
	var header [1024]byte
	if _, err := out.Write(encoder().Header(header[:0], s.width, s.height)); err != nil {
		return err
	}
	for i := range n + len(ring) {
		at := &ring[i%len(ring)]
		if done := i - len(ring); 0 <= done && done < n {
			if err := at.finish(out); err != nil {
				return err
			}
		}
		if i >= n {
			continue
		}
		at.prepare(s.width, min(rows, s.height-i*rows), s.ratio)
		if err := s.read(&at.YCbCr, i*rows); err != nil {
			return err
		}
		at.index, at.last = i, i == n-1
		start(at)
	}
	return ctx.Err()
}

func recycle(strips *[maxStrips]strip) {
	for i := range strips {
		if s := &strips[i]; cap(s.planes)+cap(s.out) > pooledStrip {
			s.planes, s.out = nil, nil
		}
	}
	stripsPool.Put(strips)
}

// startCores returns what hands a strip to one of so many goroutines, and what ends them. For a single core there are
// none: the strip is worked on at once.
func startCores(cores int) (start func(*strip), stop func()) {
	if cores == 1 {
		return (*strip).work, func() {}
	}
	work := make(chan *strip, maxStrips)
	var running sync.WaitGroup
	for range cores {
		running.Go(func() {
			for s := range work {
				s.work()
			}
		})
	}
	return func(s *strip) { work <- s }, func() {
		close(work)
		running.Wait()
	}
}

// prepare makes room for the planes of a strip, in whole MCUs.
func (s *strip) prepare(width, height int, ratio image.YCbCrSubsampleRatio) {
	r := image.Rect(0, 0, wholeMCUs(width), wholeMCUs(height))
	luma, cw, ch := r.Dx()*r.Dy(), r.Dx(), r.Dy()
	switch ratio {
	case image.YCbCrSubsampleRatio420:
		cw, ch = cw/2, ch/2
	case image.YCbCrSubsampleRatio422:
		cw /= 2
	case image.YCbCrSubsampleRatio440:
		ch /= 2
	}
	if need := luma + 2*cw*ch; cap(s.planes) < need {
		s.planes = make([]byte, need)
	}
	p := s.planes[:cap(s.planes)]
	s.YCbCr = image.YCbCr{Y: p[:luma], Cb: p[luma:][:cw*ch], Cr: p[luma+cw*ch:][:cw*ch], YStride: r.Dx(), CStride: cw,
		SubsampleRatio: ratio, Rect: r}
	if s.ready == nil {
		s.ready = make(chan struct{}, 1)
	}
	select {
	case <-s.ready: // of a photo that was given up
	default:
	}
	s.failed = nil
}

// wholeMCUs rounds up to the sides of the units that the encoder works on.
func wholeMCUs(n int) int { return (n + 15) &^ 15 }

// work tones and encodes a strip. A panic is kept for the goroutine that can answer for the photo.
func (s *strip) work() {
	defer func() {
		if v := recover(); v != nil {
			s.failed = fmt.Sprintf("%v\n%s", v, debug.Stack())
		}
		s.ready <- struct{}{}
	}()
	tonePlanes(&s.YCbCr)
	s.out = encoder().Strip(s.out[:0], &s.YCbCr, s.index, s.last)
}

// finish waits for a strip and writes it.
func (s *strip) finish(out *sink) error {
	<-s.ready
	if s.failed != nil {
		panic(s.failed)
	}
	_, err := out.Write(s.out)
	return err
}
