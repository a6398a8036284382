package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"

	api "imagery/app/client"
	"imagery/app/imagery"
)

// client uploads to one service, and sends each request once.
type client struct{ *api.Client }

func newClient(url string) *client {
	c := api.New(url)
	c.HTTP = &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}
	return &client{c}
}

// upload creates an image and sends its photo. answered is the time of the answer; refused means that it was a 503.
func (c *client) upload(ctx context.Context, photo []byte) (
	img api.Image, answered time.Time, refused bool, err error) {
	if img, err = c.Create(ctx, imagery.NewID()); err == nil {
		img, err = c.Upload(ctx, img.ID, "photo.jpg", photo)
	}
	if api.Status(err) == http.StatusServiceUnavailable {
		return img, answered, true, nil
	}
	return img, time.Now(), false, err
}

// wait waits until the image is processed.
func (c *client) wait(ctx context.Context, img api.Image) error {
	img, err := c.Wait(ctx, img)
	if err == nil && img.State != string(imagery.Processed) {
		err = fmt.Errorf("image %s is %s: %s", img.ID, img.State, img.Error)
	}
	return err
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
func (c *client) idle(ctx context.Context, catalog imagery.Catalog, photo []byte, n int, pause time.Duration) (
	list []accepted, err error) {
	for range n {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		img, answered, refused, err := c.upload(ctx, photo)
		if err == nil && refused {
			err = fmt.Errorf("an idle service answered 503")
		}
		if err == nil {
			err = c.wait(ctx, img)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, accepted{id: img.ID, answered: answered})
	}
	return list, awaitProcessed(ctx, catalog, list)
}

// processTimeout bounds the time that a service may take to process what it has accepted.
const processTimeout = 2 * time.Minute

// awaitProcessed waits until all images are processed, and stores when each was.
func awaitProcessed(ctx context.Context, catalog imagery.Catalog, list []accepted) error {
	ctx, cancel := context.WithTimeout(ctx, processTimeout)
	defer cancel()
	for i := range list {
		for {
			img, err := catalog.Get(ctx, list[i].id)
			if err != nil {
				return fmt.Errorf("read %s: %w", list[i].id, err)
			}
			if img.State == imagery.Processed {
				list[i].updated = img.Updated
				break
			}
			if img.State.Final() {
				return fmt.Errorf("image %s is %s: %s", img.ID, img.State, img.Error)
			}
			select {
			case <-ctx.Done():
				return fmt.Errorf("image %s is still %s: %w", img.ID, img.State, ctx.Err())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// loadResult has the results of a stream of uploads at one rate.
type loadResult struct {
	Offered float64 // photos per second
	Seconds float64
	Sent    int
	Refused int
	Done    float64 // photos processed per second, from the first upload until the last photo was processed
	Behind  float64 // seconds from the last upload until the last photo was processed
	Took    []float64
	Server  int64 // bytes, the largest peak memory of a server
	Worker  int64
}

// offer uploads rate photos per second for a duration. It is an open-loop load: uploads start at random times, as those
// of independent users, whether or not the service keeps up. The times are the same in every run.
func (c *client) offer(ctx context.Context, catalog imagery.Catalog, photo []byte, rate float64, d time.Duration) (
	r loadResult, err error) {
	r = loadResult{Offered: rate, Seconds: d.Seconds()}
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
		r.Sent++
		uploads.Go(func() {
			img, answered, refused, upErr := c.upload(ctx, photo)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case upErr != nil:
				err = upErr
			case refused:
				r.Refused++
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
		r.Took = append(r.Took, float64(a.took()))
	}
	r.Done, r.Behind = float64(len(list))/last.Sub(began).Seconds(), last.Sub(began.Add(d)).Seconds()
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
