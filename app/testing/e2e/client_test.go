package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"imagery/app/admin/smoke"
	"imagery/app/imagery"
)

// view is an image as GET answers it.
type view struct {
	ID             string `json:"id"`
	Version        int64  `json:"version"`
	State          string `json:"state"`
	ProcessedImage string `json:"processedImage"`
	ProcessedKey   string `json:"processedS3Key"`
	RawKey         string `json:"rawS3Key"`
	Error          string `json:"error"`
}

// entry is one line of the journal: a promise that the service made.
type entry struct {
	id    string
	photo photo
}

// client does what the page does: it retries every request, under ids of its own, and writes down each upload
// that was accepted, at once.
type client struct {
	t    testing.TB
	base atomic.Value // string, the service's address

	mu       sync.Mutex
	journal  []entry
	versions map[string]int64 // the highest seen
}

func newClient(t testing.TB, url string) *client {
	c := &client{t: t, versions: map[string]int64{}}
	c.base.Store(url)
	return c
}

// url returns the service's present address.
func (c *client) url() string { return c.base.Load().(string) }

// create makes an image with an id of the client's.
func (c *client) create(ctx context.Context) (id string) {
	id = imagery.NewID()
	if err := c.createAs(ctx, id); err != nil {
		c.t.Fatal(err)
	}
	return id
}

func (c *client) createAs(ctx context.Context, id string) error {
	_, err := c.persist(ctx, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodPost, c.url()+"/image", strings.NewReader(`{"id":"`+id+`"}`))
	}, http.StatusCreated, http.StatusOK)
	if err != nil {
		return fmt.Errorf("create %s: %w", id, err)
	}
	return nil
}

// upload creates an image and uploads to it until the service has accepted it, or ctx ends.
func (c *client) upload(ctx context.Context, id string, p photo) error {
	if err := c.createAs(ctx, id); err != nil {
		return err
	}
	body, contentType := form(c.t, p.body)
	_, err := c.persist(ctx, func() (*http.Request, error) {
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url()+"/image/"+id+"/upload", bytes.NewReader(body))
		if err == nil {
			req.Header.Set("Content-Type", contentType)
		}
		return req, err
	}, http.StatusAccepted)
	if err != nil {
		return fmt.Errorf("upload %s (%s): %w", id, p.name, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.journal = append(c.journal, entry{id, p})
	return nil
}

// form is a multipart body with one file.
func form(t testing.TB, file []byte) (body []byte, contentType string) {
	t.Helper()
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, err := w.CreateFormFile("file", "photo")
	if err != nil {
		t.Fatal(err)
	}
	part.Write(file)
	w.Close()
	return b.Bytes(), w.FormDataContentType()
}

// persist sends a request until one of the wanted answers comes: again after errors, 5xx and 408, as every
// client of this service may, for requests are idempotent.
func (c *client) persist(ctx context.Context, request func() (*http.Request, error), want ...int) ([]byte, error) {
	for {
		req, err := request()
		if err != nil {
			return nil, err
		}
		status, body, err := do(req)
		for _, w := range want {
			if err == nil && status == w {
				return body, nil
			}
		}
		if err == nil && status < 500 && status != http.StatusRequestTimeout {
			return nil, fmt.Errorf("%d %s", status, body)
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("gave up: %w (last answer %d %s, %v)", ctx.Err(), status, body, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func do(req *http.Request) (status int, body []byte, err error) {
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return 0, nil, err
	}
	defer res.Body.Close()
	body, err = io.ReadAll(res.Body)
	return res.StatusCode, body, err
}

// get reads the image, waiting for a change for up to wait.
func (c *client) get(ctx context.Context, id string, wait time.Duration) (view, error) {
	body, err := c.persist(ctx, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, c.url()+"/image/"+id+"?wait="+wait.String(), nil)
	}, http.StatusOK)
	if err != nil {
		return view{}, err
	}
	var v view
	if err := json.Unmarshal(body, &v); err != nil {
		return view{}, fmt.Errorf("image %s: %s: %w", id, body, err)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if v.Version < c.versions[id] {
		c.t.Errorf("version of %s went from %d back to %d", id, c.versions[id], v.Version)
	}
	c.versions[id] = max(v.Version, c.versions[id])
	return v, nil
}

// final follows the image until its state is final.
func (c *client) final(ctx context.Context, id string) (view, error) {
	for {
		const wait = 5 * time.Second
		asked := time.Now()
		v, err := c.get(ctx, id, wait)
		if err != nil || v.State == "processed" || v.State == "failed" {
			return v, err
		}
		select {
		case <-ctx.Done(): // get says so
		case <-time.After(smoke.Pause(nil, time.Since(asked) < wait)): // a server that is full answers at once
		}
	}
}

// download reads the result of a processed image.
func (c *client) download(ctx context.Context, v view) ([]byte, error) {
	body, err := c.persist(ctx, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, c.url()+v.ProcessedImage, nil)
	}, http.StatusOK)
	if err != nil {
		return nil, fmt.Errorf("download the result of %s: %w", v.ID, err)
	}
	return body, nil
}

// browserUpload uploads as a form of a page does and returns where the browser is sent.
func (c *client) browserUpload(ctx context.Context, id string, file []byte) (location string) {
	body, contentType := form(c.t, file)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url()+"/image/"+id+"/upload", bytes.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "text/html,application/xhtml+xml")
	res, err := http.DefaultTransport.RoundTrip(req) // follows no redirect
	if err != nil {
		c.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusFound {
		c.t.Fatalf("upload of a browser: %s", res.Status)
	}
	return res.Header.Get("Location")
}

// ready waits until the process says so.
func (c *client) ready(ctx context.Context, p *program) {
	if _, err := c.persist(ctx, func() (*http.Request, error) {
		return http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/readyz", nil)
	}, http.StatusOK); err != nil {
		c.t.Fatalf("not ready: %v", err)
	}
}
