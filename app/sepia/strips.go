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

// ringSize limits the memory of all strips, in bytes, unless those of one core take more.
const ringSize = 12 << 20

// stripCores returns the maximum number of cores for a photo of that width. Strips of more than 11,000 columns are
// large.
func stripCores(width int) int { return min(max(1, ringSize/(2*stripMemory(width))), maxCores) }

// stripMemory returns the maximum memory of a strip: three planes, and draft and result in buffers that grew to at most
// twice the size of noise.
func stripMemory(width int) int {
	pixels := wholeMCUs(width) * jfif.StripHeight(width)
	return 3*pixels + 4*int(draftMemory(int64(pixels)))
}

// strip is a part of the photo with the height that the encoder needs, and its encoded forms.
type strip struct {
	image.YCbCr
	planes []byte // backing array of Y, Cb and Cr
	index  int
	last   bool
	draft  []byte      // in the standard Huffman codes
	counts jfif.Counts // of the symbols in all drafts of the photo that were made in this place
	out    []byte      // in the codes of the photo
	ready  chan struct{}
	failed any // value of a panic
}

// workspace is the memory for one photo that is reused for the next.
type workspace struct {
	strips [maxStrips]strip
	tables jfif.Tables
}

// workspaces reuses them. The garbage collector empties it.
var workspaces = sync.Pool{New: func() any { return new(workspace) }}

// pooledStrip is the size of the largest strip that is reused: the memory plan of the next photo does not include it.
const pooledStrip = 1 << 20

// stripSource is an upright photo in YCbCr planes.
type stripSource struct {
	width, height int
	ratio         image.YCbCrSubsampleRatio
	// read fills a strip, from row y of the photo, in whole MCUs. It is called for all strips from top to bottom.
	read func(m *image.YCbCr, y int) error
	// tone filters a strip in place, from row y of the photo, and converts it to 4:2:0. Goroutines call it at the
	// same time, each for another strip. nil means that of toneCache.
	tone func(m *image.YCbCr, y int)
}

// toJPEG filters a photo and writes it as a JPEG with Huffman tables made for it. That takes two passes: the first
// makes drafts of all strips and counts their symbols, the second turns them into the strips of the file. Strips are
// read in order by the calling goroutine, filtered and encoded on several cores, and written in order. The result does
// not depend on the number of cores. A photo that cannot be read completely leaves nothing in out.
func (s stripSource) toJPEG(ctx context.Context, out *sink) error {
	rows := jfif.StripHeight(s.width)
	n := (s.height + rows - 1) / rows
	w := workspaces.Get().(*workspace)
	defer w.recycle()
	p := passes{ctx, w.strips[:2*min(runtime.GOMAXPROCS(0), stripCores(s.width), n)], n}
	for i := range p.ring {
		p.ring[i].counts = jfif.Counts{}
	}
	drafts := drafts{sink: sink{ctx: ctx}}
	fill := func(at *strip) error {
		at.prepare(s.width, min(rows, s.height-at.index*rows), s.ratio)
		return s.read(&at.YCbCr, at.index*rows)
	}
	encode := func(at *strip) {
		s.filter(&at.YCbCr, at.index*rows)
		at.draft = encoder().Draft(at.draft[:0], &at.YCbCr, &at.counts)
	}
	if err := p.run(fill, encode, func(at *strip) error { return drafts.push(at.draft) }); err != nil {
		return err
	}
	var counts jfif.Counts
	for i := range p.ring {
		counts.Add(&p.ring[i].counts)
	}
	w.tables.Reset(&counts)

	out.ctx = ctx
	var header [1024]byte
	if _, err := out.Write(encoder().Header(header[:0], s.width, s.height, &w.tables)); err != nil {
		return err
	}
	fill = func(at *strip) error {
		at.draft = drafts.pull(at.draft[:0], &out.free)
		return nil
	}
	mcus := func(at *strip) int {
		return wholeMCUs(s.width) * wholeMCUs(min(rows, s.height-at.index*rows)) / (16 * 16)
	}
	finish := func(at *strip) { at.out = w.tables.Strip(at.out[:0], at.draft, mcus(at), at.index, at.last) }
	return p.run(fill, finish, func(at *strip) error {
		_, err := out.Write(at.out)
		return err
	})
}

// filter calls tone.
func (s stripSource) filter(m *image.YCbCr, y int) {
	if s.tone == nil {
		toneCache.tonePlanes(m)
	} else {
		s.tone(m, y)
	}
}

// recycle keeps w for the next photo.
func (w *workspace) recycle() {
	for i := range w.strips {
		if s := &w.strips[i]; cap(s.planes)+cap(s.draft)+cap(s.out) > pooledStrip {
			s.YCbCr, s.planes, s.draft, s.out = image.YCbCr{}, nil, nil, nil
		}
	}
	workspaces.Put(w)
}

// passes are passes over all strips of a photo.
type passes struct {
	ctx  context.Context
	ring []strip // those in memory, two for each core
	n    int     // number of strips of the photo
}

// run calls three functions for each strip: fill and done in the calling goroutine, in the order of the strips, and
// work in between on several cores. It returns the first error of fill, done and ctx.
func (p passes) run(fill func(*strip) error, work func(*strip), done func(*strip) error) error {
	start, stop := startCores(len(p.ring)/2, work)
	defer stop()
	for i := range p.n + len(p.ring) {
		if err := p.ctx.Err(); err != nil {
			return err
		}
		at := &p.ring[i%len(p.ring)]
		if finished := i - len(p.ring); 0 <= finished && finished < p.n {
			if <-at.ready; at.failed != nil {
				panic(at.failed)
			}
			if err := done(at); err != nil {
				return err
			}
		}
		if i >= p.n {
			continue
		}
		at.reset(i, i == p.n-1)
		if err := fill(at); err != nil {
			return err
		}
		start(at)
	}
	return nil
}

// startCores starts that many goroutines. It returns a function that gives them a strip to work on and one that ends
// them. For a single core there is no goroutine: start processes the strip at once.
func startCores(cores int, work func(*strip)) (start func(*strip), stop func()) {
	if cores == 1 {
		return func(s *strip) { s.do(work) }, func() {}
	}
	waiting := make(chan *strip, maxStrips)
	var running sync.WaitGroup
	for range cores {
		running.Go(func() {
			for s := range waiting {
				s.do(work)
			}
		})
	}
	return func(s *strip) { waiting <- s }, func() {
		close(waiting)
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
}

// reset makes s strip number index.
func (s *strip) reset(index int, last bool) {
	s.index, s.last = index, last
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

// do calls work. It stores a panic, which run repeats in the goroutine of Apply.
func (s *strip) do(work func(*strip)) {
	defer func() {
		if v := recover(); v != nil {
			s.failed = fmt.Sprintf("%v\n%s", v, debug.Stack())
		}
		s.ready <- struct{}{}
	}()
	work(s)
}
