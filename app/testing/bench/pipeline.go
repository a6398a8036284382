package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"log"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// pipelinePlan has the size of a run.
type pipelinePlan struct {
	sizes   []float64     // of photos, in megapixels
	largest float64       // size of the photos of which only the memory is measured
	budget  time.Duration // for the pairs of one row
	least   int           // minimum of pairs of a row, whatever time they take
	most    int
}

// The largest photos stay just below the limit of the service.
var (
	thorough = pipelinePlan{[]float64{0.3, 6, 24}, 49.9, 5 * time.Second, 6, 40}
	quick    = pipelinePlan{[]float64{0.5}, 1, 200 * time.Millisecond, 2, 6}
)

// Times of a usual machine, for estimates only: one run of one program, and the other work of a row.
const (
	perMegapixel = 40 * time.Millisecond
	perRow       = 300 * time.Millisecond
)

// estimate returns about how long a run takes with that many competitors.
func (e pipelinePlan) estimate(competitors, cores int) (d time.Duration) {
	for _, size := range e.sizes {
		run := time.Duration(size * float64(perMegapixel))
		row := func(e pipelinePlan) time.Duration {
			return max(e.budget, time.Duration(e.least)*2*run) + 4*run + perRow
		}
		d += time.Duration(cores) * (time.Duration(len(kinds))*row(e) + time.Duration(competitors-1)*row(e.coarse()))
	}
	for _, size := range append(e.sizes, e.largest) {
		// making the photo, three runs of two programs for the memory, and the comparison of pixels
		d += time.Duration(len(kinds)) * (time.Duration(16*size*float64(perMegapixel)) + 4*perRow)
	}
	return d
}

// coarse returns the plan for rows that need less precision.
func (e pipelinePlan) coarse() pipelinePlan {
	e.budget, e.least = e.budget/2, max(2, e.least-2)
	return e
}

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
	failed      []string      // what could not be measured, and why
	comparisons []comparison
	fidelities  []fidelity
	memory      []memory
}

// fail records that a part could not be measured. The others are measured all the same.
func (f *pipelineResults) fail(part string, err error) {
	text := fmt.Sprintf("%s: %v", part, err)
	log.Print("FAILED: ", text)
	f.failed = append(f.failed, firstLine(text))
}

func firstLine(text string) string {
	line, _, _ := strings.Cut(text, "\n")
	return line
}

// measurePipeline compares the filter with all installed programs, and measures memory and results. A program or a
// photo that fails is recorded in the results; an error is returned only if nothing can be measured at all.
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
	var photos []photo
	for _, size := range e.sizes {
		made, err := t.makePhotos(ctx, original, size, all)
		if err != nil {
			return f, err
		}
		photos = append(photos, made...)
	}
	f.compareAll(ctx, e, t, all, photos)
	f.measureFidelity(ctx, t, all, photos)
	most := all[len(all)-min(2, len(all)):]
	f.measureMemory(ctx, t, most, photos)
	photos = nil // the largest ones need much memory
	if largest, err := t.makePhotos(ctx, original, e.largest, all); err != nil {
		f.fail("the largest photos", err)
	} else {
		f.measureMemory(ctx, t, most, largest)
	}
	f.machine += loadAtEnd()
	return f, nil
}

// compareAll measures all competitors on one core and on two.
func (f *pipelineResults) compareAll(ctx context.Context, e pipelinePlan, t tools, all []int, photos []photo) {
	for cores := 1; cores <= 2; cores++ {
		if len(all) < cores {
			f.missing = append(f.missing, "a second core")
			break
		}
		// The last cores, because the first one often handles the interrupts.
		for _, other := range t.competitors() {
			if ctx.Err() != nil {
				return
			}
			err := f.compare(ctx, e, t, other, all[len(all)-cores:], photos)
			if errors.Is(err, exec.ErrNotFound) {
				log.Printf("SKIPPED: %s: %v", other.name, err)
				f.missing = append(f.missing, other.name)
			} else if err != nil {
				f.fail(other.name+" on "+countCores(cores), err)
			}
		}
	}
	slices.Sort(f.missing)
	f.missing = slices.Compact(f.missing)
}

// compare starts the filter and a competitor, and measures both with each photo. An error is returned only if one of
// them does not start.
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
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if with.name != sharpName {
			if p.kind != baseline {
				continue
			}
			row = e.coarse()
		}
		part := fmt.Sprintf("%s, %s, %s", p.name, countCores(len(cores)), with.name)
		c, err := match(ctx, row, p, ours, other)
		if err != nil {
			f.fail(part, err)
			continue
		}
		c.cores, c.other = len(cores), with.name
		f.comparisons = append(f.comparisons, c)
		log.Printf("%s: %s, %s, ratio %.2f", part, c.ourTime(), c.otherTime(), ratio(c.pairs, elapsed).Mid)
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
