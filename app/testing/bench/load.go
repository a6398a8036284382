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

// upload creates an image and sends its photo; answered is the time of the answer. refused means that the status was 503.
func (c *client) upload(ctx context.Context, photo []byte) (img api.Image, answered time.Time, refused bool, err error) {
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
	updated  time.Time // of the move to processed
}

// took is from the answer until the image was processed, by its item. An image may be processed before the client has
// its answer.
func (a accepted) took() time.Duration { return max(0, a.updated.Sub(a.answered)) }

// idle uploads one photo after the other, each when the one before is processed, with a pause in between.
func (c *client) idle(ctx context.Context, catalog imagery.Catalog, photo []byte, n int, pause time.Duration) (list []accepted, err error) {
	for range n {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		img, answered, refused, err := c.upload(ctx, photo)
		if err == nil && refused {
			err = fmt.Errorf("an idle service has no room")
		}
		if err == nil {
			err = c.wait(ctx, img)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, accepted{id: img.ID, answered: answered})
	}
	return list, settle(ctx, catalog, list)
}

// settleBound is how long a service may work off what it has accepted.
const settleBound = 2 * time.Minute

// settle waits until all are processed, and writes down when they were.
func settle(ctx context.Context, catalog imagery.Catalog, list []accepted) error {
	ctx, cancel := context.WithTimeout(ctx, settleBound)
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
				return fmt.Errorf("image %s is %s still: %w", img.ID, img.State, ctx.Err())
			case <-time.After(50 * time.Millisecond):
			}
		}
	}
	return nil
}

// flow is what became of a steady stream of uploads.
type flow struct {
	Offered float64 // photos a second
	Seconds float64
	Sent    int
	Refused int
	Done    float64 // photos processed a second, from the first upload until the last was
	Behind  float64 // seconds from the end of the stream until the last was
	Took    []float64
	Server  int64 // bytes, the largest peak of a server meanwhile
	Worker  int64
}

// offer uploads at this rate for so long, at random moments as independent users do, and whether or not the service
// keeps up. The moments are the same in every run.
func (c *client) offer(ctx context.Context, catalog imagery.Catalog, photo []byte, rate float64, d time.Duration) (r flow, err error) {
	r = flow{Offered: rate, Seconds: d.Seconds()}
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
		err = settle(ctx, catalog, list)
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

// arrivals are moments of a Poisson process.
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
