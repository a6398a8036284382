package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"sync"
	"time"

	"imagery/app/admin/smoke"
	"imagery/app/imagery"
)

// form is a photo as a browser sends it.
type form struct {
	contentType string
	body        []byte
}

func formOf(photo []byte) form {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, _ := w.CreateFormFile("file", "photo.jpg") // writing to memory cannot fail
	_, _ = part.Write(photo)
	_ = w.Close()
	return form{w.FormDataContentType(), b.Bytes()}
}

// client uploads to one service.
type client struct {
	url  string
	http *http.Client
}

func newClient(url string) *client {
	return &client{url, &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}
}

// upload creates an image and sends its photo. It was answered at that time; refused means 503.
func (c *client) upload(ctx context.Context, f form) (id string, answered time.Time, refused bool, err error) {
	id = imagery.NewID()
	status, answer, err := c.send(ctx, "POST", "/image", "application/json", []byte(`{"id":"`+id+`"}`))
	if err == nil && status == http.StatusCreated {
		status, answer, err = c.send(ctx, "POST", "/image/"+id+"/upload", f.contentType, f.body)
	}
	switch {
	case err != nil:
		return id, answered, false, err
	case status == http.StatusServiceUnavailable:
		return id, answered, true, nil
	case status != http.StatusAccepted:
		return id, answered, false, fmt.Errorf("upload of %s: %d %s", id, status, answer)
	}
	return id, time.Now(), false, nil
}

func (c *client) send(ctx context.Context, method, path, contentType string, body []byte) (status int, answer []byte, err error) {
	status, answer, _, err = c.sendFor(ctx, method, path, contentType, body)
	return status, answer, err
}

// sendFor is send for callers that look at the header of the answer.
func (c *client) sendFor(ctx context.Context, method, path, contentType string, body []byte) (
	status int, answer []byte, header http.Header, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.url+path, bytes.NewReader(body))
	if err != nil {
		return 0, nil, nil, err
	}
	req.Header.Set("Content-Type", contentType)
	res, err := c.http.Do(req)
	if err != nil {
		return 0, nil, nil, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return res.StatusCode, answer, res.Header, err
}

// wait waits until the image is final.
func (c *client) wait(ctx context.Context, id string) error {
	for {
		const wait = 20 * time.Second
		asked := time.Now()
		status, answer, header, err := c.sendFor(ctx, "GET", "/image/"+id+"?wait="+wait.String(), "", nil)
		if err != nil {
			return err
		}
		var img struct{ State imagery.State }
		if err := json.Unmarshal(answer, &img); err != nil || status != http.StatusOK || img.State == imagery.Failed {
			return fmt.Errorf("wait for %s: %d %s", id, status, answer)
		}
		if img.State == imagery.Processed {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(smoke.Pause(header, time.Since(asked) < wait)):
		}
	}
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
func (c *client) idle(ctx context.Context, catalog imagery.Catalog, f form, n int, pause time.Duration) (list []accepted, err error) {
	for range n {
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		id, answered, refused, err := c.upload(ctx, f)
		if err == nil && refused {
			err = fmt.Errorf("an idle service has no room")
		}
		if err == nil {
			err = c.wait(ctx, id)
		}
		if err != nil {
			return nil, err
		}
		list = append(list, accepted{id: id, answered: answered})
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
func (c *client) offer(ctx context.Context, catalog imagery.Catalog, f form, rate float64, d time.Duration) (r flow, err error) {
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
			id, answered, refused, upErr := c.upload(ctx, f)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case upErr != nil:
				err = upErr
			case refused:
				r.Refused++
			default:
				list = append(list, accepted{id: id, answered: answered})
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
