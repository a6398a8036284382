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

// span is how long a run of the service takes.
type span struct {
	starts  int           // cold starts
	idle    int           // small photos, one after the other
	large   int           // of 6 megapixels
	rested  int           // small ones after silence
	flow    time.Duration // of one rate
	steady  time.Duration // at 70 %
	slow    rush
	first   float64  // photos a second that the doubling begins with
	crowded []string // backends that get slow uploads
}

var (
	thoroughSpan = span{10, 100, 20, 10, 10 * time.Second, 40 * time.Second, rush{64, 20_000_000, 20 * time.Second}, 2, []string{onLocal, onAWS}}
	quickSpan    = span{2, 8, 2, 1, time.Second, 2 * time.Second, rush{64, 20_000_000, 2 * time.Second}, 16, []string{onLocal}}
)

// silence is longer than anything that is remembered for a while, and than the pause between two polls.
const silence = 3 * time.Second

// steadyShare of what the service can do at most is what it is measured at for long.
const steadyShare = 0.7

// performance is what one backend showed.
type performance struct {
	Backend string
	Start   []float64 // nanoseconds, as all durations here
	Idle    []float64
	Rested  []float64
	Large   []float64
	Flows   []flow // the rate doubles
	Steady  flow
	Crowds  []crowd
}

// serviceFindings are everything that a run of the service has measured.
type serviceFindings struct {
	Machine   machine
	Binary    int64
	Slow      string    // what the slow uploads were
	Bare      []float64 // the filter alone on the small photo
	BareLarge []float64
	SmallSize int
	LargeSize int
	Backends  []performance
}

// measureService measures both backends.
func measureService(ctx context.Context, s span, dir string, progress io.Writer) (f serviceFindings, err error) {
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
	if f.Bare, err = bare(ctx, small, s.idle); err != nil {
		return f, err
	}
	if f.BareLarge, err = bare(ctx, large, s.large); err != nil {
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

// servicePhotos are the two that are uploaded.
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

// bare runs the filter alone, as a worker does.
func bare(ctx context.Context, photo []byte, n int) (took []float64, err error) {
	for range n + 1 {
		began := time.Now()
		if _, err := (sepia.Filter{}).Apply(ctx, photo); err != nil {
			return nil, err
		}
		took = append(took, float64(time.Since(began)))
	}
	return took[1:], nil // the first one makes the tables
}

// bench measures one backend.
type bench struct {
	span
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
	if err := b.within(ctx, func(p *process.Process, s store, _ time.Duration) error { return b.traffic(ctx, p, s) }, "-role", "local"); err != nil {
		return err
	}
	if !slices.Contains(b.crowded, b.Backend) {
		return nil
	}
	return b.crowds(ctx)
}

// within runs a part over a fresh service.
func (b *bench) within(ctx context.Context, part func(*process.Process, store, time.Duration) error, flags ...string) error {
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

// traffic is the idle part, the doubling, and the steady part.
func (b *bench) traffic(ctx context.Context, p *process.Process, s store) error {
	c := newClient(p.URL)
	if _, err := c.idle(ctx, s.catalog, b.small, 2*localProcesses, 0); err != nil { // warms everybody up
		return err
	}
	for _, part := range []struct {
		into  *[]float64
		photo []byte
		n     int
		pause time.Duration
	}{{&b.Idle, b.small, b.idle, 0}, {&b.Rested, b.small, b.rested, silence}, {&b.Large, b.large, b.span.large, 0}} {
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
		r, err := b.offer(ctx, p, s, c, rate, b.flow)
		if err != nil {
			return err
		}
		b.Flows = append(b.Flows, r)
		most = max(most, r.Done)
		if r.saturated() {
			break
		}
	}
	var err error
	b.Steady, err = b.offer(ctx, p, s, c, steadyShare*most, b.steady)
	return err
}

// saturated is when what comes out stays behind what goes in, by more than the photos that are always under way.
func (r flow) saturated() bool {
	return r.Done < 0.85*float64(r.Sent)/r.Seconds && (r.Behind > 0.5 || r.Refused > 0)
}

// localProcesses of each role are in a fleet.
const localProcesses = 2

// offer is client.offer with the memory of the processes.
func (b *bench) offer(ctx context.Context, p *process.Process, s store, c *client, rate float64, d time.Duration) (r flow, err error) {
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
	fmt.Fprintf(b.progress, "%s: %.0f photos/s offered, %.0f done, median %s\n", b.Backend, rate, r.Done, millis(time.Duration(quantile(r.Took, 0.5))))
	return r, err
}

// smallestInstance is the budget of a server on a machine of 1 GiB.
const smallestInstance = 614 << 20

// crowds sends the slow uploads to a whole fleet, and to one server with the budget of the smallest instance.
func (b *bench) crowds(ctx context.Context) error {
	err := b.within(ctx, func(p *process.Process, _ store, _ time.Duration) error {
		servers, err := childPIDs(ctx, p, "server")
		if err != nil {
			return err
		}
		return b.crowd(ctx, p, crowd{Who: "fleet of two servers"}, servers)
	}, "-role", "local", "-consume=false")
	if err != nil {
		return err
	}
	return b.within(ctx, func(p *process.Process, _ store, _ time.Duration) error {
		return b.crowd(ctx, p, crowd{Who: "one server", Budget: smallestInstance}, []int{p.PID()})
	}, "-role", "server", "-memory", fmt.Sprint(smallestInstance))
}

func (b *bench) crowd(ctx context.Context, p *process.Process, as crowd, servers []int) error {
	r, err := newClient(p.URL).crowdIn(ctx, b.small, b.slow)
	if err != nil {
		return err
	}
	r.Who, r.Budget = as.Who, as.Budget
	if r.Server, err = largestPeak(servers); err != nil {
		return err
	}
	if servers[0] != p.PID() {
		if r.Balancer, err = peak(p.PID()); err != nil {
			return err
		}
	}
	fmt.Fprintf(b.progress, "%s, %s: %d slow uploads accepted of %d, %s\n", b.Backend, r.Who, r.Accepted, b.slow.clients, mega(r.Server))
	b.Crowds = append(b.Crowds, r)
	return nil
}
