package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"

	"imagery/app/sepia"
	"imagery/app/testing/process"
)

// servicePlan has the size of a run of the service.
type servicePlan struct {
	starts       int           // cold starts
	idle         int           // small photos, one at a time
	large        int           // of 6 megapixels
	afterPause   int           // small photos, each after a pause
	perRate      time.Duration // duration of each rate
	steady       time.Duration // duration of the load at 70 % of the maximum
	slow         slowLoad
	first        float64  // photos per second of the first rate, which is then doubled
	slowBackends []string // backends that are measured with slow uploads
}

var (
	thoroughService = servicePlan{10, 100, 20, 10, 10 * time.Second, 40 * time.Second,
		slowLoad{64, 20_000_000, 20 * time.Second}, 2, []string{onLocal, onAWS}}
	quickService = servicePlan{2, 8, 2, 1, time.Second, 2 * time.Second,
		slowLoad{64, 20_000_000, 2 * time.Second}, 16, []string{onLocal}}
)

// idlePause is longer than any cache and than the pause between two polls.
const idlePause = 3 * time.Second

// steadyShare is the share of the maximum throughput at which the service is measured for longer.
const steadyShare = 0.7

// performance has the results of one backend.
type performance struct {
	Backend     string
	Start       []float64 // in nanoseconds, like all durations here
	Idle        []float64
	AfterPause  []float64
	Large       []float64
	Loads       []loadResult // the rate doubles
	Steady      loadResult
	SlowUploads []slowResult
}

// serviceResults has all results of a run.
type serviceResults struct {
	Machine     machine
	Binary      int64
	Slow        string    // description of the slow uploads
	FilterSmall []float64 // time of the filter alone for the small photo
	FilterLarge []float64
	SmallSize   int
	LargeSize   int
	Backends    []performance
}

// measureService measures both backends.
func measureService(ctx context.Context, s servicePlan, dir string, progress io.Writer) (f serviceResults, err error) {
	f.Machine = thisMachine(ctx)
	f.Slow = fmt.Sprintf("%d slow uploads of %d MB, over %s", s.slow.clients, s.slow.bytes/1_000_000, s.slow.takes)
	exe := filepath.Join(dir, "imagery")
	if err := build(ctx, exe, "./app"); err != nil {
		return f, err
	}
	info, err := os.Stat(exe)
	if err != nil {
		return f, err
	}
	f.Binary = info.Size()
	small, large, err := servicePhotos()
	if err != nil {
		return f, err
	}
	f.SmallSize, f.LargeSize = len(small), len(large)
	if f.FilterSmall, err = filterAlone(ctx, small, s.idle); err != nil {
		return f, err
	}
	if f.FilterLarge, err = filterAlone(ctx, large, s.large); err != nil {
		return f, err
	}
	for _, backend := range []string{onLocal, onAWS} {
		b := bench{s, exe, dir, small, large, progress, performance{Backend: backend}}
		if err := b.run(ctx); err != nil {
			return f, fmt.Errorf("%s: %w", backend, err)
		}
		f.Backends = append(f.Backends, b.performance)
	}
	f.Machine.finish()
	return f, nil
}

// servicePhotos returns the two photos that are uploaded.
func servicePhotos() (small, large []byte, err error) {
	for _, p := range []struct {
		into *[]byte
		img  image.Image
	}{{&small, landscape(670, 447)}, {&large, landscape(3000, 2000)}} {
		var b bytes.Buffer
		if err := jpeg.Encode(&b, p.img, &jpeg.Options{Quality: 90}); err != nil {
			return nil, nil, err
		}
		*p.into = b.Bytes()
	}
	return small, large, nil
}

// filterAlone measures the filter without the service.
func filterAlone(ctx context.Context, photo []byte, n int) (took []float64, err error) {
	for range n + 1 {
		began := time.Now()
		if _, err := (sepia.Filter{}).Apply(ctx, photo); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(began)))
	}
	return took[1:], nil // the first run also computes tables
}

// bench measures one backend.
type bench struct {
	servicePlan
	exe, dir     string
	small, large []byte
	progress     io.Writer
	performance
}

func (b *bench) run(ctx context.Context) error {
	for range b.starts {
		if err := b.within(ctx, func(_ *process.Process, _ store, took time.Duration) error {
			b.Start = append(b.Start, float64(took))
			return nil
		}, "-role", "local"); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.progress, "%s: ready after %s\n", b.Backend, millis(time.Duration(quantile(b.Start, 0.5))))
	err := b.within(ctx, func(p *process.Process, s store, _ time.Duration) error {
		return b.traffic(ctx, p, s)
	}, "-role", "local")
	if err != nil {
		return err
	}
	if !slices.Contains(b.slowBackends, b.Backend) {
		return nil
	}
	return b.slowUploads(ctx)
}

// within starts a new service, runs part with it and stops it.
func (b *bench) within(
	ctx context.Context, part func(*process.Process, store, time.Duration) error, flags ...string) error {
	s, err := openStore(ctx, b.Backend, b.dir)
	if err != nil {
		return err
	}
	defer s.close()
	p, took, err := startFleet(ctx, b.exe, s, flags...)
	if err != nil {
		return err
	}
	defer func() {
		if p.Stop(ctx) != nil {
			p.Kill()
		}
	}()
	return part(p, s, took)
}

// traffic measures an idle service, rates that double until the service is saturated, and 70 % of the maximum.
func (b *bench) traffic(ctx context.Context, p *process.Process, s store) error {
	c := newClient(p.URL)
	if _, err := c.idle(ctx, s.catalog, b.small, 2*localProcesses, 0); err != nil { // warms up all processes
		return err
	}
	for _, part := range []struct {
		into  *[]float64
		photo []byte
		n     int
		pause time.Duration
	}{
		{&b.Idle, b.small, b.idle, 0},
		{&b.AfterPause, b.small, b.afterPause, idlePause},
		{&b.Large, b.large, b.servicePlan.large, 0},
	} {
		list, err := c.idle(ctx, s.catalog, part.photo, part.n, part.pause)
		if err != nil {
			return err
		}
		for _, a := range list {
			*part.into = append(*part.into, float64(a.took()))
		}
	}
	fmt.Fprintf(b.progress, "%s: idle %s\n", b.Backend, millis(time.Duration(quantile(b.Idle, 0.5))))
	most := 0.0
	for rate := b.first; ; rate *= 2 {
		r, err := b.offer(ctx, p, s, c, rate, b.perRate)
		if err != nil {
			return err
		}
		b.Loads = append(b.Loads, r)
		most = max(most, r.Done)
		if r.saturated() {
			break
		}
	}
	var err error
	b.Steady, err = b.offer(ctx, p, s, c, steadyShare*most, b.steady)
	return err
}

// saturated reports whether the service processed clearly less than was offered, so that its queue grew.
func (r loadResult) saturated() bool {
	return r.Done < 0.85*float64(r.Sent)/r.Seconds && (r.Behind > 0.5 || r.Refused > 0)
}

// localProcesses is the number of processes of each role in a fleet.
const localProcesses = 2

// offer runs client.offer and adds the peak memory of the processes.
func (b *bench) offer(ctx context.Context, p *process.Process, s store, c *client, rate float64, d time.Duration) (
	r loadResult, err error) {
	servers, err := childPIDs(ctx, p, "server")
	if err != nil {
		return r, err
	}
	workers, err := childPIDs(ctx, p, "worker")
	if err == nil {
		err = resetPeaks(slices.Concat(servers, workers))
	}
	if err != nil {
		return r, err
	}
	if r, err = c.offer(ctx, s.catalog, b.small, rate, d); err != nil {
		return r, err
	}
	if r.Server, err = largestPeak(servers); err == nil {
		r.Worker, err = largestPeak(workers)
	}
	fmt.Fprintf(b.progress, "%s: %.0f photos/s offered, %.0f processed, median %s\n",
		b.Backend, rate, r.Done, millis(time.Duration(quantile(r.Took, 0.5))))
	return r, err
}

// smallestInstance is the memory budget of a server on a machine with 1 GiB, in bytes.
const smallestInstance = 614 << 20

// slowUploads sends the slow uploads to a whole fleet, and to one server with the budget of the smallest instance.
func (b *bench) slowUploads(ctx context.Context) error {
	err := b.within(ctx, func(p *process.Process, _ store, _ time.Duration) error {
		servers, err := childPIDs(ctx, p, "server")
		if err != nil {
			return err
		}
		return b.slowResult(ctx, p, slowResult{Servers: "fleet of two servers"}, servers)
	}, "-role", "local", "-consume=false")
	if err != nil {
		return err
	}
	return b.within(ctx, func(p *process.Process, _ store, _ time.Duration) error {
		return b.slowResult(ctx, p, slowResult{Servers: "one server", Budget: smallestInstance}, []int{p.PID()})
	}, "-role", "server", "-memory", fmt.Sprint(smallestInstance))
}

func (b *bench) slowResult(ctx context.Context, p *process.Process, as slowResult, servers []int) error {
	r, err := newClient(p.URL).uploadTogether(ctx, b.small, b.slow)
	if err != nil {
		return err
	}
	r.Servers, r.Budget = as.Servers, as.Budget
	if r.Server, err = largestPeak(servers); err != nil {
		return err
	}
	if servers[0] != p.PID() {
		if r.Balancer, err = peak(p.PID()); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.progress, "%s, %s: %d slow uploads accepted of %d, %s\n",
		b.Backend, r.Servers, r.Accepted, b.slow.clients, mib(r.Server))
	b.SlowUploads = append(b.SlowUploads, r)
	return nil
}
