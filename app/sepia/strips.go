package sepia

import (
	"context"
	"fmt"
	"image"
	"runtime"
	"runtime/debug"
	"sync"

	"imagery/app/sepia/jfif"
)

// quality is the quality of all JPEG results, on the scale of libjpeg.
const quality = 90

var encoder = sync.OnceValue(func() *jfif.Encoder { return jfif.NewEncoder(quality) })

// maxCores limits the cores for one photo. Decoding is sequential and takes two fifths of the time, so more cores would
// only wait.
const maxCores = 4

// maxStrips limits the strips in memory: for each core the current and the next one.
const maxStrips = 2 * maxCores

// strip is a part of the photo with the height that the encoder needs, and its encoded form.
type strip struct {
	image.YCbCr
	planes []byte // backing array of Y, Cb and Cr
	index  int
	toned  bool // filtered before
	last   bool
	out    []byte
	ready  chan struct{}
	failed any // value of a panic
}

// stripsPool reuses strips. The garbage collector empties it.
var stripsPool = sync.Pool{New: func() any { return new([maxStrips]strip) }}

// pooledStrip is the size of the largest strip that is reused: the memory plan of the next photo does not include it.
const pooledStrip = 1 << 20

// stripSource is an upright photo in YCbCr planes.
type stripSource struct {
	width, height int
	ratio         image.YCbCrSubsampleRatio
	// read fills a strip, from row y of the photo, in whole MCUs. It is called for all strips from top to bottom.
	read  func(m *image.YCbCr, y int) error
	toned bool // read returns filtered pixels
}

// toJPEG filters a photo and writes it as a JPEG. Strips are read in order by the calling goroutine, filtered and
// encoded on several cores, and written in order. The result does not depend on the number of cores.
func (s stripSource) toJPEG(ctx context.Context, out *sink) error {
	rows := jfif.StripHeight(s.width)
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
		at.index, at.last, at.toned = i, i == n-1, s.toned
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

// startCores starts that many goroutines. It returns a function that gives them a strip and one that ends them. For a
// single core there is no goroutine: start processes the strip at once.
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

// prepare allocates the planes of a strip, in whole MCUs.
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
	case <-s.ready: // left over from a photo that failed
	default:
	}
	s.failed = nil
}

// wholeMCUs rounds up to a multiple of 16, the size of an MCU of the encoder.
func wholeMCUs(n int) int { return (n + 15) &^ 15 }

// work filters and encodes a strip. It stores a panic, which finish repeats in the goroutine of Apply.
func (s *strip) work() {
	defer func() {
		if v := recover(); v != nil {
			s.failed = fmt.Sprintf("%v\n%s", v, debug.Stack())
		}
		s.ready <- struct{}{}
	}()
	if !s.toned {
		tonePlanes(&s.YCbCr)
	}
	s.out = encoder().Strip(s.out[:0], &s.YCbCr, s.index, s.last)
}

// finish waits for a strip and writes its encoded form.
func (s *strip) finish(out *sink) error {
	<-s.ready
	if s.failed != nil {
		panic(s.failed)
	}
	_, err := out.Write(s.out)
	return err
}
