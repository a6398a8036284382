package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"net/http"
	"slices"
	"sync"
	"time"

	"imagery/app/client"
	"imagery/app/imagery"
)

// burst photos are uploaded at the same time, every second, so that each process handles several at once.
const burst = 5

// upload is one photo that the service has accepted.
type upload struct {
	id, hash        string
	begun, accepted time.Time
}

// traffic uploads photos at a steady rate and records how each upload ends. Failed requests are repeated, or, with
// noRetry, given up if they are uploads.
type traffic struct {
	photos  [][]byte
	noRetry bool
	client  *client.Client

	mu        sync.Mutex
	endpoints []string // addresses of servers and load balancers, used in turn
	turn      int
	accepted  []upload
	givenUp   []string      // ids of images whose upload got no answer and is not repeated
	rejected  []error       // answers that no repetition changes
	changed   chan struct{} // closed and replaced when accepted grows
}

func newTraffic(photos [][]byte, noRetry bool) *traffic {
	t := &traffic{photos: photos, noRetry: noRetry, changed: make(chan struct{})}
	t.client = &client.Client{URL: t.endpoint, HTTP: &http.Client{Transport: &http.Transport{}},
		Retry: 100 * time.Millisecond}
	return t
}

func (t *traffic) addEndpoint(url string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endpoints = append(t.endpoints, url)
}

func (t *traffic) removeEndpoint(url string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endpoints = slices.DeleteFunc(t.endpoints, func(e string) bool { return e == url })
}

// endpoint returns the address for the next request.
func (t *traffic) endpoint() (url string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.endpoints) == 0 {
		return "", errors.New("no process is listening")
	}
	t.turn++
	return t.endpoints[t.turn%len(t.endpoints)], nil
}

// run starts uploads until start ends, and then waits for the open ones until ctx ends.
func (t *traffic) run(ctx, start context.Context) {
	var clients sync.WaitGroup
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; start.Err() == nil; {
		for range burst {
			n++
			clients.Go(func() { t.uploadAndRecord(ctx, n) })
		}
		select {
		case <-tick.C:
		case <-start.Done():
		}
	}
	clients.Wait()
}

// uploadAndRecord uploads the n-th photo and records the outcome.
func (t *traffic) uploadAndRecord(ctx context.Context, n int) {
	u, err := t.upload(ctx, n)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.accepted = append(t.accepted, u)
		close(t.changed)
		t.changed = make(chan struct{})
	case errors.Is(err, errGaveUp):
		t.givenUp = append(t.givenUp, u.id)
	default:
		t.rejected = append(t.rejected, err)
	}
}

// awaitUpload waits until the first upload of a burst is accepted: at that time all processes are busy.
func (t *traffic) awaitUpload(ctx context.Context) {
	t.mu.Lock()
	changed := t.changed
	t.mu.Unlock()
	select {
	case <-changed:
	case <-ctx.Done():
	}
}

// errGaveUp is returned when an upload that is not repeated fails with an error that a repetition may change.
var errGaveUp = errors.New("gave up")

// upload creates the n-th image and uploads its photo.
func (t *traffic) upload(ctx context.Context, n int) (upload, error) {
	body := t.photos[n%len(t.photos)]
	sum := sha256.Sum256(body)
	u := upload{id: imagery.NewID(), hash: hex.EncodeToString(sum[:]), begun: time.Now()}
	_, err := t.client.Create(ctx, u.id)
	if err == nil {
		uploader := *t.client
		if t.noRetry {
			uploader.Retry = 0
		}
		_, err = uploader.Upload(ctx, u.id, "photo.jpg", body)
		if err != nil && t.noRetry && client.Temporary(err) {
			err = errGaveUp
		}
	}
	u.accepted = time.Now()
	if err != nil {
		return u, fmt.Errorf("upload %s: %w", u.id, err)
	}
	return u, nil
}

// awaitFinal waits until every accepted photo is final, and returns an error for each that is not, or that failed. It
// also waits for images that clients gave up after their photo had arrived.
func (t *traffic) awaitFinal(ctx context.Context) (errs []error) {
	for _, u := range t.accepted {
		img, err := t.final(ctx, u.id)
		if err != nil {
			errs = append(errs, fmt.Errorf("image %s was accepted and is not final: %w", u.id, err))
		} else if img.State != string(imagery.Processed) {
			errs = append(errs, fmt.Errorf("image %s is %s though its photo is good: %s", u.id, img.State, img.Error))
		}
	}
	for _, id := range t.givenUp {
		if _, err := t.final(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("image %s arrived and is not final: %w", id, err))
		}
	}
	return errs
}

// final waits until an image is final. An image without a photo is returned at once.
func (t *traffic) final(ctx context.Context, id string) (client.Image, error) {
	img, err := t.client.Get(ctx, id)
	if err != nil || img.State == string(imagery.Created) {
		return img, err
	}
	return t.client.Wait(ctx, img)
}

// photos draws eight different JPEGs.
func photos(width int) (list [][]byte) {
	for n := range 8 {
		m := image.NewRGBA(image.Rect(0, 0, width, width*3/4))
		for i := range m.Pix {
			m.Pix[i] = byte(i*i>>7 + n*i)
		}
		var b bytes.Buffer
		if err := jpeg.Encode(&b, m, nil); err != nil {
			panic(err) // writing to memory cannot fail
		}
		list = append(list, b.Bytes())
	}
	return list
}
