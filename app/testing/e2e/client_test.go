package e2e

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	api "imagery/app/client"
	"imagery/app/imagery"
)

// view is an image as the service answers it.
type view = api.Image

// acceptedUpload is an upload that the service has accepted and must therefore finish.
type acceptedUpload struct {
	id    string
	photo photo
}

// client behaves like the web page: it repeats every request, makes the ids itself, and records each accepted upload.
type client struct {
	api.Client
	t    testing.TB
	base atomic.Value // string, the service's address

	mu       sync.Mutex
	accepted []acceptedUpload
	versions map[string]int64 // the highest seen
}

func newClient(t testing.TB, url string) *client {
	c := &client{t: t, versions: map[string]int64{}}
	c.base.Store(url)
	c.Client = api.Client{URL: func() (string, error) { return c.url(), nil }, Retry: 100 * time.Millisecond,
		Observe: c.observe}
	return c
}

// url returns the current address of the service.
func (c *client) url() string { return c.base.Load().(string) }

// observe fails the test if the version of an image decreases. Each image must be used by one goroutine only, because
// answers to concurrent requests may arrive in any order.
func (c *client) observe(v view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.Version < c.versions[v.ID] {
		c.t.Errorf("version of %s went from %d back to %d", v.ID, c.versions[v.ID], v.Version)
	}
	c.versions[v.ID] = max(v.Version, c.versions[v.ID])
}

// create makes an image and returns its id.
func (c *client) create(ctx context.Context) (id string) {
	img, err := c.Create(ctx, imagery.NewID())
	if err != nil {
		c.t.Fatal(err)
	}
	return img.ID
}

// upload creates an image and uploads to it until the service has accepted it, or ctx ends.
func (c *client) upload(ctx context.Context, id string, p photo) error {
	_, err := c.Create(ctx, id)
	if err == nil {
		_, err = c.Upload(ctx, id, "photo", p.body)
	}
	if err != nil {
		return fmt.Errorf("upload %s (%s): %w", id, p.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.accepted = append(c.accepted, acceptedUpload{id, p})
	return nil
}

// final waits until the state of the image is final.
func (c *client) final(ctx context.Context, id string) (view, error) {
	img, err := c.Get(ctx, id)
	if err != nil {
		return img, err
	}
	return c.Wait(ctx, img)
}

// download reads the result of a processed image.
func (c *client) download(ctx context.Context, v view) ([]byte, error) {
	res, err := c.Result(ctx, v)
	return res.Body, err
}

// browserUpload uploads like the form of a page and returns the Location of the redirect.
func (c *client) browserUpload(ctx context.Context, id string, file []byte) (location string) {
	contentType, body := api.Form("photo", file)
	browser := c.Client
	browser.HTTP = &http.Client{CheckRedirect: func(*http.Request,
		[]*http.Request) error {
		return http.ErrUseLastResponse
	}}
	res, err := browser.Expect(ctx, http.MethodPost, "/image/"+id+"/upload", body, func(req *http.Request) {
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Accept", "text/html,application/xhtml+xml")
	}, http.StatusFound)
	if err != nil {
		c.t.Fatalf("upload of a browser: %v", err)
	}
	return res.Header.Get("Location")
}

// status sends a request to the service once, without a body, and returns the status of the answer, 0 without one.
func (c *client) status(ctx context.Context, method, path string) int {
	res, _ := c.Do(ctx, method, path, nil, nil)
	return res.Status
}

// ready waits until the process is ready.
func (c *client) ready(ctx context.Context, p *program) {
	c.t.Helper()
	probe := api.New(p.url)
	probe.Retry = 20 * time.Millisecond
	if _, err := probe.Expect(ctx, http.MethodGet, "/readyz", nil, nil, http.StatusOK); err != nil {
		c.t.Fatalf("not ready: %v", err)
	}
}
