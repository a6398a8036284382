package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"imagery/app/sepia"
)

// servicePlan has the size of a run of the service.
type servicePlan struct {
	starts     int           // cold starts
	idle       int           // small photos, one at a time
	large      int           // of 6 megapixels
	afterPause int           // small photos, each after a pause
	perRate    time.Duration // duration of each rate
	steady     time.Duration // duration of the load at 70 % of the maximum
	first      float64       // photos per second of the first rate, which is then doubled
}

var (
	thoroughService = servicePlan{10, 100, 20, 6, 8 * time.Second, 30 * time.Second, 4}
	quickService    = servicePlan{2, 8, 2, 1, time.Second, 2 * time.Second, 16}
)

// maxRate ends the doubling of the rate, in photos per second, on a machine that no rate saturates.
const maxRate = 4096

// estimate returns about how long a run takes.
func (s servicePlan) estimate() time.Duration {
	const (
		build        = 10 * time.Second
		small, large = 50 * time.Millisecond, 250 * time.Millisecond
		saturating   = 512 // photos per second
	)
	one := time.Duration(s.starts)*time.Second + time.Duration(s.idle)*small + time.Duration(s.large)*large +
		time.Duration(s.afterPause)*idlePause + s.steady
	for rate := s.first; rate <= saturating; rate *= 2 {
		one += s.perRate * 3 / 2 // a saturated service processes what it accepted
	}
	return build + 2*one
}

// idlePause is longer than any cache and than the pause between two polls.
const idlePause = 3 * time.Second

// steadyShare is the share of the maximum throughput at which the service is measured for longer.
const steadyShare = 0.7

// performance has the results of one backend.
type performance struct {
	backend    string
	start      []time.Duration
	idle       []time.Duration
	afterPause []time.Duration
	large      []time.Duration
	loads      []loadResult // the rate doubles
	steady     loadResult
}

// serviceResults has all results of a run.
type serviceResults struct {
	machine     string
	binary      int64           // bytes
	filterSmall []time.Duration // time of the filter alone for the small photo
	filterLarge []time.Duration
	small       []byte // photos that are uploaded
	large       []byte
	backends    []performance
	failed      []string // what could not be measured, and why
}

// fail records that a part could not be measured. The others are measured all the same.
func (f *serviceResults) fail(part string, err error) {
	if err != nil {
		text := fmt.Sprintf("%s: %v", part, err)
		log.Print("FAILED: ", text)
		f.failed = append(f.failed, firstLine(text))
	}
}

// measureService measures both backends. A part that fails is recorded in the results.
func measureService(ctx context.Context, s servicePlan, dir string) (f serviceResults, err error) {
	f.machine = describeMachine(ctx)
	exe := filepath.Join(dir, "imagery")
	if err := build(ctx, exe, "./app"); err != nil {
		return f, err
	}
	info, err := os.Stat(exe)
	if err != nil {
		return f, err
	}
	f.binary = info.Size()
	if f.small, err = encodeJPEG(landscape(670, 447)); err != nil {
		return f, err
	}
	if f.large, err = encodeJPEG(landscape(3000, 2000)); err != nil {
		return f, err
	}
	if f.filterSmall, err = filterAlone(ctx, f.small, s.idle); err != nil {
		return f, err
	}
	if f.filterLarge, err = filterAlone(ctx, f.large, s.large); err != nil {
		return f, err
	}
	for _, backend := range []string{onLocal, onAWS} {
		p := performance{backend: backend}
		f.fail(backend, f.measure(ctx, s, exe, dir, &p))
		f.backends = append(f.backends, p)
	}
	f.machine += loadAtEnd()
	return f, nil
}

// filterAlone measures the filter without the service.
func filterAlone(ctx context.Context, photo []byte, n int) (took []time.Duration, err error) {
	for range n + 1 {
		began := time.Now()
		if _, err := (sepia.Filter{}).Apply(ctx, photo); err != nil {
			return nil, err
		}
		took = append(took, time.Since(began))
	}
	return took[1:], nil // the first run also computes tables
}

// measure measures one backend.
func (f *serviceResults) measure(ctx context.Context, plan servicePlan, exe, dir string, p *performance) error {
	for range plan.starts {
		if err := within(ctx, p.backend, exe, dir, func(service *fleet, _ store) error {
			p.start = append(p.start, service.took)
			return nil
		}); err != nil {
			return err
		}
	}
	log.Printf("%s: ready after %s", p.backend, quantileCell(p.start, 0.5))
	return within(ctx, p.backend, exe, dir, func(service *fleet, s store) error {
		return f.traffic(ctx, plan, service, s, p)
	})
}

// within starts a new service, runs part with it and stops it.
func within(ctx context.Context, backend, exe, dir string, part func(*fleet, store) error) error {
	s, err := openStore(ctx, backend, dir)
	if err != nil {
		return err
	}
	defer s.close()
	running, stop := context.WithCancel(ctx)
	defer stop()
	service, err := startFleet(running, exe, s)
	if err != nil {
		return err
	}
	defer service.cmd.Wait() // its error is that it was stopped
	defer stop()
	return part(service, s)
}

// traffic measures an idle service, rates that double until the service is saturated, and 70 % of the maximum.
func (f *serviceResults) traffic(ctx context.Context, plan servicePlan, service *fleet, s store, p *performance) error {
	for _, part := range []struct {
		into  *[]time.Duration
		photo []byte
		n     int
		pause time.Duration
	}{
		{new([]time.Duration), f.small, 4, 0}, // warms up all processes
		{&p.idle, f.small, plan.idle, 0},
		{&p.afterPause, f.small, plan.afterPause, idlePause},
		{&p.large, f.large, plan.large, 0},
	} {
		var failed failures
		*part.into, failed = idle(ctx, service.client, s.catalog, part.photo, part.n, part.pause)
		f.fail(p.backend+", idle service", failed.err())
	}
	log.Printf("%s: idle %s", p.backend, quantileCell(p.idle, 0.5))
	most := 0.0
	for rate := plan.first; rate <= maxRate && ctx.Err() == nil; rate *= 2 {
		r := f.load(ctx, service, s, p.backend, rate, plan.perRate)
		p.loads = append(p.loads, r)
		most = max(most, r.done)
		if r.saturated() {
			break
		}
	}
	p.steady = f.load(ctx, service, s, p.backend, steadyShare*most, plan.steady)
	return ctx.Err()
}

// load measures the service at one rate.
func (f *serviceResults) load(
	ctx context.Context, service *fleet, s store, backend string, rate float64, d time.Duration) loadResult {
	part := fmt.Sprintf("%s, %.0f photos/s", backend, rate)
	f.fail(part, service.resetPeaks())
	r := offer(ctx, service.client, s.catalog, f.small, rate, d)
	f.fail(part, r.failed.err())
	var err error
	if r.server, err = service.largestPeak("server"); err == nil {
		r.worker, err = service.largestPeak("worker")
	}
	f.fail(part, err)
	log.Printf("%s offered: %.0f processed, median %s, %d refused, %d failed", part, r.done,
		quantileCell(r.took, 0.5), r.refused, r.failed.n)
	return r
}
