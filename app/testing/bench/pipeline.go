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

// effort is how long a run takes.
type effort struct {
	sizes  []string
	budget time.Duration // for the pairs of one row
	least  int           // pairs of a row, whatever they take
	most   int
	brief  bool // memory of one kind of photo only, and others than the bar on one core only
}

var (
	thorough = effort{[]string{small, medium, large}, 8 * time.Second, 6, 40, false}
	quick    = effort{[]string{small, medium}, 600 * time.Millisecond, 2, 6, true}
)

// pairsFor is how many pairs a row gets when one takes so long; even, so that each side goes first equally often.
func (e effort) pairsFor(one time.Duration) int {
	n := e.most
	if one > 0 {
		n = int(min(int64(e.most), int64(e.budget/one)))
	}
	return max(e.least, n) / 2 * 2
}

// comparison is one row: a photo, some cores, and somebody beside us.
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

// findings are everything that a run of the pipeline has measured.
type findings struct {
	Machine     machine
	Photos      string // where they come from
	Versions    map[string]string
	StartUp     map[string]time.Duration // of who starts a process for each photo: a photo of one pixel
	Missing     []string                 // who is not installed
	Comparisons []comparison
	Memory      []memory
}

// measurePipeline compares everybody who is installed with us, and measures memory.
func measurePipeline(ctx context.Context, e effort, folder, dir string, progress io.Writer) (f findings, err error) {
	t, err := prepare(ctx, dir)
	if err != nil {
		return f, err
	}
	all, err := usableCores()
	if err != nil {
		return f, err
	}
	f = findings{Machine: thisMachine(ctx), Versions: map[string]string{}, StartUp: map[string]time.Duration{}}
	fmt.Fprintln(progress, "making photos")
	photos, err := f.takePhotos(ctx, t, e, folder, all)
	if err != nil {
		return f, err
	}
	for cores := 1; cores <= 2; cores++ {
		if len(all) < cores {
			f.Missing = append(f.Missing, "a second core")
			break
		}
		// The last cores: the first one often serves the machine's interrupts.
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

// takePhotos makes the photos; sharp writes the kinds that Go cannot.
func (f *findings) takePhotos(ctx context.Context, t tools, e effort, folder string, cores []int) ([]photo, error) {
	photographer, err := t.openSharp(ctx, "", cores)
	if err != nil {
		return nil, err
	}
	defer photographer.close()
	photos, about, err := album(ctx, t.cache, folder, e.sizes, func(look string, asPNG []byte) ([]byte, error) {
		_, body, err := photographer.ask(look, "", asPNG)
		return body, err
	})
	f.Photos = about
	return photos, err
}

// compareAll has every rival run beside us on these cores. Only the bar must be there.
func (f *findings) compareAll(ctx context.Context, e effort, t tools, cores []int, photos []photo, progress io.Writer) error {
	for _, r := range t.rivals() {
		if e.brief && len(cores) > 1 && r.name != bar {
			continue
		}
		switch err := f.compare(ctx, e, t, r, cores, photos, progress); {
		case err == nil:
		case errors.Is(err, exec.ErrNotFound) && r.name != bar:
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

// compare starts us and a rival and has both filter the same list of photos, in turn.
func (f *findings) compare(ctx context.Context, e effort, t tools, r rival, cores []int, photos []photo, progress io.Writer) error {
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
			row.budget /= 2 // for orientation, and some of them are slow
		}
		c, err := match(ctx, row, p, ours, other)
		if err != nil {
			return err
		}
		c.Cores, c.Other = len(cores), r.name
		f.Comparisons = append(f.Comparisons, c)
		fmt.Fprintf(progress, "%s, %s, %s: %.2f\n", p.name, countCores(len(cores)), r.name, ratio(c.Pairs, elapsed).Mid)
	}
	return nil
}

// match measures one row. The first results are looked at: they must be what both were asked for.
func match(ctx context.Context, e effort, p photo, ours, other engine) (comparison, error) {
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
			if s, body, err = side.develop(p); err == nil {
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
			s, _, err := side.develop(p)
			// What a garbage collector still has to do must not fall into the other side's time.
			time.Sleep(5 * time.Millisecond)
			return s, err
		}
	}
	var err error
	c.Pairs, err = interleave(e.pairsFor(one), run(ours), run(other))
	return c, err
}

// startUp is what a process costs before it sees a photo worth the name.
func startUp(e engine) (time.Duration, error) {
	dot, err := onePixel()
	if err != nil {
		return 0, err
	}
	var all []float64
	for range 5 {
		s, _, err := e.develop(dot)
		if err != nil {
			return 0, err
		}
		all = append(all, float64(s.Elapsed))
	}
	return time.Duration(quantile(all, 0.5)), nil
}
