package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	"imagery/app/client"
	"imagery/app/imagery"
)

// upload creates an image and sends its photo.
func upload(ctx context.Context, c client.Client, photo []byte) (client.Image, error) {
	img, err := c.Create(ctx, imagery.NewID())
	if err == nil {
		img, err = c.Upload(ctx, img.ID, "photo.jpg", photo)
	}
	return img, err
}

// accepted is one upload that was answered with success.
type accepted struct {
	id       string
	answered time.Time
	updated  time.Time // when the image became processed
}

// took returns the time from the answer until the image was processed, according to the table. It is 0 if the image was
// processed before the client had its answer.
func (a accepted) took() time.Duration { return max(0, a.updated.Sub(a.answered)) }

// failures counts what failed and keeps the first error.
type failures struct {
	n     int
	first error
}

func (f *failures) add(err error) {
	if f.n++; f.n == 1 {
		f.first = err
	}
}

// merge adds the failures of another part.
func (f *failures) merge(g failures) {
	if f.n == 0 {
		f.first = g.first
	}
	f.n += g.n
}

// err returns an error if something failed.
func (f failures) err() error {
	if f.n == 0 {
		return nil
	}
	return fmt.Errorf("%d failed, the first one: %w", f.n, f.first)
}

// maxFailures is the number of failures after which an idle service is given up.
const maxFailures = 5

// idle uploads one photo after the other, each when the previous one is processed, with a pause before each.
func idle(ctx context.Context, c client.Client, catalog imagery.Catalog, photo []byte, n int, pause time.Duration) (
	took []time.Duration, failed failures) {
	for range n {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			failed.add(ctx.Err())
			return took, failed
		}
		img, err := upload(ctx, c, photo)
		a := accepted{id: img.ID, answered: time.Now()}
		if err == nil {
			_, err = c.Wait(ctx, img)
		}
		if err != nil {
			failed.add(err)
		} else {
			done, bad := awaitProcessed(ctx, catalog, []accepted{a})
			failed.merge(bad)
			for _, a := range done {
				took = append(took, a.took())
			}
		}
		if failed.n >= maxFailures {
			break
		}
	}
	return took, failed
}

// processTimeout bounds the time that a service may take to process what it has accepted.
const processTimeout = 2 * time.Minute

// awaitProcessed waits until all images are processed, and returns those that were, with the time at which each was.
func awaitProcessed(ctx context.Context, catalog imagery.Catalog, list []accepted) (done []accepted, failed failures) {
	ctx, cancel := context.WithTimeout(ctx, processTimeout)
	defer cancel()
	for _, a := range list {
		img, err := catalog.Get(ctx, a.id)
		for err == nil && !img.State.Final() {
			time.Sleep(50 * time.Millisecond)
			img, err = catalog.Get(ctx, a.id)
		}
		if err == nil && img.State != imagery.Processed {
			err = errors.New(img.Error)
		}
		if err != nil {
			failed.add(fmt.Errorf("image %s is %q: %w", a.id, img.State, err))
			continue
		}
		a.updated = img.Updated
		done = append(done, a)
	}
	return done, failed
}

// loadResult has the results of a stream of uploads at one rate.
type loadResult struct {
	seconds float64
	sent    int
	refused int      // with 503
	failed  failures // otherwise
	done    float64  // photos processed per second, from the first upload until the last photo was processed
	behind  float64  // seconds from the last upload until the last photo was processed
	took    []time.Duration
	server  int64 // bytes, the largest peak memory of a server
	worker  int64
}

// saturated reports whether the service processed clearly less than was offered, so that its queue grew.
func (r loadResult) saturated() bool {
	return r.done < 0.85*float64(r.sent)/r.seconds && (r.behind > 0.5 || r.refused+r.failed.n > 0)
}

// offer uploads rate photos per second for a duration. It is an open-loop load: uploads start at random times, as those
// of independent users, whether or not the service keeps up. The times are the same in every run.
func offer(ctx context.Context, c client.Client, catalog imagery.Catalog, photo []byte, rate float64, d time.Duration) (
	r loadResult) {
	r.seconds = d.Seconds()
	var mu sync.Mutex
	var list []accepted
	var uploads sync.WaitGroup
	began := time.Now()
	for _, at := range arrivals(rate, d) {
		select {
		case <-time.After(time.Until(began.Add(at))):
		case <-ctx.Done():
			uploads.Wait()
			r.failed.add(ctx.Err())
			return r
		}
		r.sent++
		uploads.Go(func() {
			img, upErr := upload(ctx, c, photo)
			answered := time.Now()
			mu.Lock()
			defer mu.Unlock()
			switch {
			case client.Status(upErr) == http.StatusServiceUnavailable:
				r.refused++
			case upErr != nil:
				r.failed.add(upErr)
			default:
				list = append(list, accepted{id: img.ID, answered: answered})
			}
		})
	}
	uploads.Wait()
	done, failed := awaitProcessed(ctx, catalog, list)
	r.failed.merge(failed)
	last := began.Add(d)
	for _, a := range done {
		if a.updated.After(last) {
			last = a.updated
		}
		r.took = append(r.took, a.took())
	}
	r.done, r.behind = float64(len(done))/last.Sub(began).Seconds(), last.Sub(began.Add(d)).Seconds()
	return r
}

// arrivals returns the times of a Poisson process.
func arrivals(rate float64, d time.Duration) (list []time.Duration) {
	random := rand.New(rand.NewPCG(1, 2))
	for at := 0.0; ; {
		at += random.ExpFloat64() / rate
		if at >= d.Seconds() {
			return list
		}
		list = append(list, time.Duration(at*float64(time.Second)))
	}
}
