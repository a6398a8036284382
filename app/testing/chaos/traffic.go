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

// Photos come in bursts, one a second, so that processes have several in hand.
const burst = 5

// upload is one photo that the service has accepted.
type upload struct {
	id, hash        string
	begun, accepted time.Time
}

// traffic uploads photos at a steady pace, each by a client of its own that repeats what was not answered, as
// clients of this service may, or, if it is hasty, gives up when its upload fails.
type traffic struct {
	photos [][]byte
	hasty  bool
	client *client.Client

	mu      sync.Mutex
	fronts  []string // where servers or balancers listen
	turn    int
	journal []upload      // the promises of the service
	givenUp []string      // images whose client got no answer and will not ask again
	broken  []error       // refusals that no repetition helps
	grown   chan struct{} // closed and replaced when the journal grows
}

func newTraffic(photos [][]byte, hasty bool) *traffic {
	t := &traffic{photos: photos, hasty: hasty, grown: make(chan struct{})}
	t.client = &client.Client{URL: t.front, HTTP: &http.Client{Transport: &http.Transport{}}, Retry: 100 * time.Millisecond}
	return t
}

// open and close say where requests can go.
func (t *traffic) open(url string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fronts = append(t.fronts, url)
}

func (t *traffic) close(url string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.fronts = slices.DeleteFunc(t.fronts, func(f string) bool { return f == url })
}

// front is the next place to send a request to.
func (t *traffic) front() (url string, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.fronts) == 0 {
		return "", errors.New("nobody listens")
	}
	t.turn++
	return t.fronts[t.turn%len(t.fronts)], nil
}

// flow uploads until pace ends; then it waits for those that are not accepted yet, until ctx ends.
func (t *traffic) flow(ctx, pace context.Context) {
	var clients sync.WaitGroup
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for n := 0; pace.Err() == nil; {
		for range burst {
			n++
			clients.Go(func() { t.one(ctx, n) })
		}
		select {
		case <-tick.C:
		case <-pace.Done():
		}
	}
	clients.Wait()
}

// one uploads the n-th photo and writes down how that ended.
func (t *traffic) one(ctx context.Context, n int) {
	u, err := t.upload(ctx, n)
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil:
		t.journal = append(t.journal, u)
		close(t.grown)
		t.grown = make(chan struct{})
	case errors.Is(err, errGaveUp):
		t.givenUp = append(t.givenUp, u.id)
	default:
		t.broken = append(t.broken, err)
	}
}

// rush waits for the first upload of a burst that is accepted: now everybody is at work.
func (t *traffic) rush(ctx context.Context) {
	t.mu.Lock()
	grown := t.grown
	t.mu.Unlock()
	select {
	case <-grown:
	case <-ctx.Done():
	}
}

// errGaveUp: a hasty client met an error.
var errGaveUp = errors.New("gave up")

// upload creates the n-th image and uploads its photo.
func (t *traffic) upload(ctx context.Context, n int) (upload, error) {
	body := t.photos[n%len(t.photos)]
	sum := sha256.Sum256(body)
	u := upload{id: imagery.NewID(), hash: hex.EncodeToString(sum[:]), begun: time.Now()}
	_, err := t.client.Create(ctx, u.id)
	if err == nil {
		uploader := *t.client
		if t.hasty {
			uploader.Retry = 0
		}
		_, err = uploader.Upload(ctx, u.id, "photo.jpg", body)
		if err != nil && t.hasty && client.Temporary(err) {
			err = errGaveUp
		}
	}
	u.accepted = time.Now()
	if err != nil {
		return u, fmt.Errorf("upload %s: %w", u.id, err)
	}
	return u, nil
}

// settle waits until every accepted photo is final, and returns what is wrong with those that are not, or that
// failed. Photos that were given up owe nothing, but those that arrived are waited for, too.
func (t *traffic) settle(ctx context.Context) (errs []error) {
	for _, u := range t.journal {
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

// final follows an image until it has no work to come. An image without a photo has none.
func (t *traffic) final(ctx context.Context, id string) (client.Image, error) {
	img, err := t.client.Get(ctx, id)
	if err != nil || img.State == string(imagery.Created) {
		return img, err
	}
	return t.client.Wait(ctx, img)
}

// photos draws a few different JPEGs.
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
