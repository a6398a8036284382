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

// idle uploads one photo after the other, each when the previous one is processed, with a pause before each.
func idle(ctx context.Context, c client.Client, catalog imagery.Catalog, photo []byte, n int, pause time.Duration) (
	took []time.Duration, err error) {
	for range n {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		img, err := upload(ctx, c, photo)
		a := []accepted{{id: img.ID, answered: time.Now()}}
		if err == nil {
			_, err = c.Wait(ctx, img)
		}
		if err == nil {
			err = awaitProcessed(ctx, catalog, a)
		}
		if err != nil {
			return nil, err
		}
		took = append(took, a[0].took())
	}
	return took, nil
}

// processTimeout bounds the time that a service may take to process what it has accepted.
const processTimeout = 2 * time.Minute

// awaitProcessed waits until all images are processed, and stores when each was.
func awaitProcessed(ctx context.Context, catalog imagery.Catalog, list []accepted) error {
	ctx, cancel := context.WithTimeout(ctx, processTimeout)
	defer cancel()
	for i := range list {
		img, err := catalog.Get(ctx, list[i].id)
		for err == nil && !img.State.Final() {
			time.Sleep(50 * time.Millisecond)
			img, err = catalog.Get(ctx, list[i].id)
		}
		if err == nil && img.State != imagery.Processed {
			err = errors.New(img.Error)
		}
		if err != nil {
			return fmt.Errorf("image %s is %s: %w", list[i].id, img.State, err)
		}
		list[i].updated = img.Updated
	}
	return nil
}

// loadResult has the results of a stream of uploads at one rate.
type loadResult struct {
	seconds float64
	sent    int
	refused int
	done    float64 // photos processed per second, from the first upload until the last photo was processed
	behind  float64 // seconds from the last upload until the last photo was processed
	took    []time.Duration
	server  int64 // bytes, the largest peak memory of a server
	worker  int64
}

// saturated reports whether the service processed clearly less than was offered, so that its queue grew.
func (r loadResult) saturated() bool {
	return r.done < 0.85*float64(r.sent)/r.seconds && (r.behind > 0.5 || r.refused > 0)
}

// offer uploads rate photos per second for a duration. It is an open-loop load: uploads start at random times, as those
// of independent users, whether or not the service keeps up. The times are the same in every run.
func offer(ctx context.Context, c client.Client, catalog imagery.Catalog, photo []byte, rate float64, d time.Duration) (
	r loadResult, err error) {
	r.seconds = d.Seconds()
	var mu sync.Mutex
	var list []accepted
	var uploads sync.WaitGroup
	began := time.Now()
	for _, at := range arrivals(rate, d) {
		select {
		case <-time.After(time.Until(began.Add(at))):
		case <-ctx.Done():
			return r, ctx.Err()
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
				err = upErr
			default:
				list = append(list, accepted{id: img.ID, answered: answered})
			}
		})
	}
	uploads.Wait()
	if err == nil {
		err = awaitProcessed(ctx, catalog, list)
	}
	last := began.Add(d)
	for _, a := range list {
		if a.updated.After(last) {
			last = a.updated
		}
		r.took = append(r.took, a.took())
	}
	r.done, r.behind = float64(len(list))/last.Sub(began).Seconds(), last.Sub(began.Add(d)).Seconds()
	return r, err
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
