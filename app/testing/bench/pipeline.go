package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"slices"
	"time"
)

// pipelinePlan has the size of a run.
type pipelinePlan struct {
	sizes  []string
	budget time.Duration // for the pairs of one row
	least  int           // minimum of pairs of a row, whatever time they take
	most   int
	brief  bool // memory for baseline JPEGs only, and all programs but sharp on one core only
}

var (
	thorough = pipelinePlan{[]string{small, medium, large}, 8 * time.Second, 6, 40, false}
	quick    = pipelinePlan{[]string{small, medium}, 600 * time.Millisecond, 2, 6, true}
)

// pairsFor returns the number of pairs of a row if one pair takes the given time. It is even, so that each side runs
// first equally often.
func (e pipelinePlan) pairsFor(one time.Duration) int {
	n := e.most
	if one > 0 {
		n = int(min(int64(e.most), int64(e.budget/one)))
	}
	return max(e.least, n) / 2 * 2
}

// comparison is one row: a photo, a number of cores, and another program.
type comparison struct {
	Photo      string
	Kind       string
	Width      int
	Height     int
	FileBytes  int
	Cores      int
	Other      string
	OursBytes  int // of the result
	OtherBytes int
	Pairs      []pair
}

// pipelineResults has all results of a run.
type pipelineResults struct {
	Machine     machine
	Photos      string // their origin
	Versions    map[string]string
	StartUp     map[string]time.Duration // of programs that start a process for each photo, with a photo of one pixel
	Missing     []string                 // programs that are not installed
	Comparisons []comparison
	Memory      []memory
}

// measurePipeline compares the filter with all installed programs, and measures memory.
func measurePipeline(ctx context.Context, e pipelinePlan, folder, dir string, progress io.Writer) (
	f pipelineResults, err error) {
	t, err := prepare(ctx, dir)
	if err != nil {
		return f, err
	}
	all, err := usableCores()
	if err != nil {
		return f, err
	}
	f = pipelineResults{Machine: thisMachine(ctx), Versions: map[string]string{}, StartUp: map[string]time.Duration{}}
	fmt.Fprintln(progress, "making photos")
	photos, err := f.makePhotosWithSharp(ctx, t, e, folder, all)
	if err != nil {
		return f, err
	}
	for cores := 1; cores <= 2; cores++ {
		if len(all) < cores {
			f.Missing = append(f.Missing, "a second core")
			break
		}
		// The last cores, because the first one often handles the interrupts.
		if err := f.compareAll(ctx, e, t, all[len(all)-cores:], photos, progress); err != nil {
			return f, err
		}
	}
	if e.brief {
		photos = slices.DeleteFunc(photos, func(p photo) bool { return p.kind != baseline })
	}
	f.Memory, err = measureMemory(ctx, t, all[len(all)-min(2, len(all)):], photos, progress)
	f.Machine.finish()
	return f, err
}

// makePhotosWithSharp makes the photos. sharp encodes them, because Go cannot encode all kinds.
func (f *pipelineResults) makePhotosWithSharp(
	ctx context.Context, t tools, e pipelinePlan, folder string, cores []int) ([]photo, error) {
	encoder, err := t.openSharp(ctx, "", cores)
	if err != nil {
		return nil, err
	}
	defer encoder.close()
	photos, about, err := makePhotos(ctx, t.cache, folder, e.sizes, func(operation string, asPNG []byte) ([]byte, error) {
		_, body, err := encoder.ask(operation, "", asPNG)
		return body, err
	})
	f.Photos = about
	return photos, err
}

// compareAll compares the filter with each competitor on these cores. All competitors but sharp may be missing.
func (f *pipelineResults) compareAll(
	ctx context.Context, e pipelinePlan, t tools, cores []int, photos []photo, progress io.Writer) error {
	for _, r := range t.competitors() {
		if e.brief && len(cores) > 1 && r.name != sharpName {
			continue
		}
		switch err := f.compare(ctx, e, t, r, cores, photos, progress); {
		case err == nil:
		case errors.Is(err, exec.ErrNotFound) && r.name != sharpName:
			if !slices.Contains(f.Missing, r.name) {
				f.Missing = append(f.Missing, r.name)
			}
			fmt.Fprintf(progress, "SKIPPED: %s: %v\n", r.name, err)
		default:
			return fmt.Errorf("%s on %s: %w", r.name, countCores(len(cores)), err)
		}
	}
	return nil
}

// compare starts the filter and a competitor, and measures both with each photo.
func (f *pipelineResults) compare(ctx context.Context, e pipelinePlan, t tools, r competitor, cores []int,
	photos []photo, progress io.Writer) error {
	other, err := r.start(ctx, cores)
	if err != nil {
		return err
	}
	defer other.close()
	ours, err := t.startOurs(ctx, cores)
	if err != nil {
		return err
	}
	defer ours.close()
	f.Versions["ours"], f.Versions[r.name] = ours.versions(), other.versions()
	if other.pid() == 0 {
		if f.StartUp[r.name], err = startUp(other); err != nil {
			return err
		}
	}
	for _, p := range photos {
		row := e
		if !r.all {
			if p.kind != baseline {
				continue
			}
			row.budget /= 2 // less precision is enough here, and some of the programs are slow
		}
		c, err := match(ctx, row, p, ours, other)
		if err != nil {
			return err
		}
		c.Cores, c.Other = len(cores), r.name
		f.Comparisons = append(f.Comparisons, c)
		fmt.Fprintf(progress, "%s, %s, %s: %.2f\n",
			p.name, countCores(len(cores)), r.name, ratio(c.Pairs, elapsed).Mid)
	}
	return nil
}

// match measures one row. It checks the first results of both sides.
func match(ctx context.Context, e pipelinePlan, p photo, ours, other engine) (comparison, error) {
	c := comparison{Photo: p.name, Kind: p.kind, Width: p.width, Height: p.height, FileBytes: len(p.raw)}
	var one time.Duration
	for _, side := range []struct {
		engine
		size *int
	}{{ours, &c.OursBytes}, {other, &c.OtherBytes}} {
		var s sample
		for range 2 { // the first run of a process also loads its libraries
			var body []byte
			var err error
			if s, body, err = side.filter(p); err == nil {
				err = verify(p, body)
			}
			if err != nil {
				return c, fmt.Errorf("%s: %w", side.versions(), err)
			}
			*side.size = len(body)
		}
		one += s.Outside
	}
	run := func(side engine) func() (sample, error) {
		return func() (sample, error) {
			if ctx.Err() != nil {
				return sample{}, ctx.Err()
			}
			s, _, err := side.filter(p)
			// Let a garbage collector finish, so that it does not take time from the other side.
			time.Sleep(5 * time.Millisecond)
			return s, err
		}
	}
	var err error
	c.Pairs, err = interleave(e.pairsFor(one), run(ours), run(other))
	return c, err
}

// startUp returns the time that a program needs for a photo of one pixel, which is mostly the start of a process.
func startUp(e engine) (time.Duration, error) {
	dot, err := onePixel()
	if err != nil {
		return 0, err
	}
	var all []float64
	for range 5 {
		s, _, err := e.filter(dot)
		if err != nil {
			return 0, err
		}
		all = append(all, float64(s.Elapsed))
	}
	return time.Duration(quantile(all, 0.5)), nil
}
