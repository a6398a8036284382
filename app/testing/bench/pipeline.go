package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log"
	"os/exec"
	"slices"
	"time"
)

// pipelinePlan has the size of a run.
type pipelinePlan struct {
	sizes  []float64     // of photos, in megapixels
	budget time.Duration // for the pairs of one row
	least  int           // minimum of pairs of a row, whatever time they take
	most   int
}

var (
	thorough = pipelinePlan{[]float64{0.3, 6, 24}, 8 * time.Second, 6, 40}
	quick    = pipelinePlan{[]float64{0.3, 2}, 300 * time.Millisecond, 2, 6}
)

// pairsFor returns the number of pairs of a row if one pair takes the given time. It is even, so that each side runs
// first equally often.
func (e pipelinePlan) pairsFor(one time.Duration) int {
	n := int(min(int64(e.most), int64(e.budget/max(one, 1))))
	return max(e.least, n) / 2 * 2
}

// comparison is one row: a photo, a number of cores, and another program.
type comparison struct {
	photo photo
	cores int
	other string
	sizes [2]int // of the results, ours first, in bytes
	pairs []pair
}

// pipelineResults has all results of a run.
type pipelineResults struct {
	machine     string
	photos      string // their origin
	versions    map[string]string
	startUp     time.Duration // of ImageMagick with a photo of one pixel, which is mostly the start of a process
	missing     []string      // what is not installed
	comparisons []comparison
	memory      []memory
}

// measurePipeline compares the filter with all installed programs, and measures memory.
func measurePipeline(ctx context.Context, e pipelinePlan, folder, dir string) (f pipelineResults, err error) {
	t, err := prepare(ctx, dir)
	if err != nil {
		return f, err
	}
	all, err := usableCores()
	if err != nil {
		return f, err
	}
	f = pipelineResults{machine: describeMachine(ctx), versions: map[string]string{}}
	original, about, err := findOriginal(folder)
	if err != nil {
		return f, err
	}
	f.photos = about
	log.Print("making photos")
	photos, err := t.makePhotos(ctx, original, e.sizes, all)
	if err != nil {
		return f, err
	}
	for cores := 1; cores <= 2; cores++ {
		if len(all) < cores {
			f.missing = append(f.missing, "a second core")
			break
		}
		// The last cores, because the first one often handles the interrupts.
		for _, other := range t.competitors() {
			err := f.compare(ctx, e, t, other, all[len(all)-cores:], photos)
			if errors.Is(err, exec.ErrNotFound) {
				log.Printf("SKIPPED: %s: %v", other.name, err)
				f.missing = append(f.missing, other.name)
			} else if err != nil {
				return f, fmt.Errorf("%s on %s: %w", other.name, countCores(cores), err)
			}
		}
	}
	slices.Sort(f.missing)
	f.missing = slices.Compact(f.missing)
	f.memory, err = measureMemory(ctx, t, all[len(all)-min(2, len(all)):], photos)
	f.machine += loadAtEnd()
	return f, err
}

// compare starts the filter and a competitor, and measures both with each photo.
func (f *pipelineResults) compare(
	ctx context.Context, e pipelinePlan, t tools, with competitor, cores []int, photos []photo) error {
	other, err := with.start(ctx, cores)
	if err != nil {
		return err
	}
	defer other.close()
	ours, err := t.startOurs("ours")(ctx, cores)
	if err != nil {
		return err
	}
	defer ours.close()
	f.versions["ours"], f.versions[with.name] = ours.versions, other.versions
	if with.name == imageMagick {
		if f.startUp, err = startUp(other); err != nil {
			return err
		}
	}
	for _, p := range photos {
		row := e
		if with.name != sharpName {
			if p.kind != baseline {
				continue
			}
			row.budget /= 2 // less precision is enough here, and some of the programs are slow
		}
		c, err := match(ctx, row, p, ours, other)
		if err != nil {
			return err
		}
		c.cores, c.other = len(cores), with.name
		f.comparisons = append(f.comparisons, c)
		log.Printf("%s, %s, %s: %.2f", p.name, countCores(len(cores)), with.name, ratio(c.pairs, elapsed).Mid)
	}
	return nil
}

// match measures one row. It checks the first results of both sides.
func match(ctx context.Context, e pipelinePlan, p photo, ours, other *engine) (c comparison, err error) {
	c.photo = p
	var one time.Duration
	var run [2]func() (sample, error)
	for i, side := range []*engine{ours, other} {
		var took time.Duration
		for range 2 { // the first run of a process also loads its libraries
			began := time.Now()
			_, body, err := side.filter(p)
			took = time.Since(began)
			if err == nil {
				err = verify(p, body)
			}
			if err != nil {
				return c, fmt.Errorf("%s: %w", side.versions, err)
			}
			c.sizes[i] = len(body)
		}
		one += took
		run[i] = func() (sample, error) {
			if ctx.Err() != nil {
				return sample{}, ctx.Err()
			}
			s, _, err := side.filter(p)
			// Let a garbage collector finish, so that it does not take time from the other side.
			time.Sleep(5 * time.Millisecond)
			return s, err
		}
	}
	c.pairs, err = interleave(e.pairsFor(one), run)
	return c, err
}

// startUp returns the median time for a photo of one pixel.
func startUp(e *engine) (time.Duration, error) {
	raw, err := encodeJPEG(image.NewGray(image.Rect(0, 0, 1, 1)))
	var all []time.Duration
	for range 5 {
		var s sample
		if err == nil {
			s, _, err = e.filter(photo{name: "one pixel", kind: baseline, raw: raw})
		}
		all = append(all, s.Elapsed)
	}
	return quantile(all, 0.5), err
}

// memory has the peak memory of new processes that filtered one photo a few times, in bytes.
type memory struct {
	photo       photo
	result      int // bytes
	ours, sharp footprint
}

// footprint is resident memory in bytes.
type footprint struct {
	idle int64 // before the first photo
	peak int64
}

// grown returns the memory that the photo needed beside the file and the result, in decoded planes with 4:2:0
// subsampling.
func (m memory) grown() float64 {
	planes := float64(m.photo.width*m.photo.height) * 1.5
	return float64(m.ours.peak-m.ours.idle-int64(len(m.photo.raw)+m.result)) / planes
}

// measureMemory starts two new processes for each photo, so that no photo changes the memory of another.
func measureMemory(ctx context.Context, t tools, cores []int, photos []photo) (list []memory, err error) {
	for _, p := range photos {
		m := memory{photo: p}
		if m.ours, m.result, err = footprintOf(ctx, t.startOurs("ours"), cores, p); err != nil {
			return nil, fmt.Errorf("our memory: %w", err)
		}
		if m.sharp, _, err = footprintOf(ctx, t.startSharp("matrix"), cores, p); err != nil {
			return nil, fmt.Errorf("memory of sharp: %w", err)
		}
		log.Printf("%s: %s, sharp %s", p.name, mib(m.ours.peak), mib(m.sharp.peak))
		list = append(list, m)
	}
	return list, nil
}

func footprintOf(ctx context.Context, start starter, cores []int, p photo) (f footprint, result int, err error) {
	e, err := start(ctx, cores)
	if err != nil {
		return f, 0, err
	}
	defer e.close()
	if f.idle, err = peak(e.cmd.Process.Pid); err != nil {
		return f, 0, err
	}
	for range 3 { // garbage of the first run may raise the peak of the next
		_, body, err := e.filter(p)
		if err != nil {
			return f, 0, err
		}
		result = len(body)
	}
	f.peak, err = peak(e.cmd.Process.Pid)
	return f, result, err
}
