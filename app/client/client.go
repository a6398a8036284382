// Package client is a Go client of the service's HTTP API. The smoke test, the end-to-end tests and the benchmark use
// it. It imports the standard library only, because the deployer links it.
package client

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Client calls one service. Several goroutines may use it at the same time.
type Client struct {
	// URL returns the address of the service, such as http://localhost:8080. It is called for every attempt, so that a
	// client can follow a service that moves, or use several servers in turn.
	URL func() (string, error)
	// HTTP sends the requests. Nil means http.DefaultClient.
	HTTP *http.Client
	// Retry is the pause before a request is sent again that got no answer, or one that another attempt may change: 408,
	// 429 and 5xx. It is sent until the context ends; every request of the API may be repeated. 0 sends each request once.
	Retry time.Duration
	// MaxBody limits, in bytes, how much of an answer is read; a longer one is an error. 0 means no limit.
	MaxBody int64
	// Observe, if it is set, is called with every image that the service answers.
	Observe func(Image)
}

// New returns a client for a fixed address that sends every request once.
func New(address string) *Client {
	return &Client{URL: func() (string, error) { return address, nil }}
}

// Image is an image in the form in which the service answers it.
type Image struct {
	ID             string `json:"id"`
	Version        int64  `json:"version"`
	State          string `json:"state"`
	Error          string `json:"error"`
	RawKey         string `json:"rawS3Key"`
	ProcessedKey   string `json:"processedS3Key"`
	ProcessedImage string `json:"processedImage"` // path of the result
	Warning        string `json:"warning"`        // what was mended in the photo
}

// Final reports whether the service has finished its work on the image.
func (i Image) Final() bool { return i.State == "processed" || i.State == "failed" }

// Response is an answer, read to its end.
type Response struct {
	Request string   // method and path, without the query
	URL     *url.URL // what answered, after redirects
	Status  int
	Header  http.Header
	Body    []byte
}

// Create creates an image. With an id of the caller's the request may be repeated; with an empty id the service makes
// one.
func (c *Client) Create(ctx context.Context, id string) (Image, error) {
	var body []byte
	if id != "" {
		body = []byte(`{"id":"` + id + `"}`)
	}
	return c.image(c.Expect(ctx, http.MethodPost, "/image", body, nil, http.StatusCreated, http.StatusOK))
}

// Upload sends a photo to an image that exists. The file name is for information only.
func (c *Client) Upload(ctx context.Context, id, name string, photo []byte) (Image, error) {
	contentType, body := Form(name, photo)
	return c.image(c.Expect(ctx, http.MethodPost, "/image/"+url.PathEscape(id)+"/upload", body, ContentType(contentType),
		http.StatusAccepted))
}

// Get reads an image.
func (c *Client) Get(ctx context.Context, id string) (Image, error) {
	return c.image(c.Expect(ctx, http.MethodGet, "/image/"+url.PathEscape(id), nil, nil, http.StatusOK))
}

// longPoll limits how long the service may delay its answer until the image changes; it is the API's maximum.
const longPoll = 20 * time.Second

// Wait follows an image by long polls until its state is final. It returns the last state that it has seen, also with
// an error, which is that of ctx when ctx ends first. Its last poll ends before the deadline of ctx.
func (c *Client) Wait(ctx context.Context, img Image) (Image, error) {
	for !img.Final() {
		wait := longPoll
		if deadline, ok := ctx.Deadline(); ok {
			wait = max(0, min(wait, time.Until(deadline))).Round(time.Millisecond)
		}
		path := fmt.Sprintf("/image/%s?wait=%s&version=%d", url.PathEscape(img.ID), wait, img.Version)
		asked := time.Now()
		res, err := c.Expect(ctx, http.MethodGet, path, nil, nil, http.StatusOK)
		now, err := c.image(res, err)
		if err != nil {
			return img, err
		}
		early := now.Version == img.Version && time.Since(asked) < max(wait, time.Millisecond)
		if img = now; img.Final() {
			break
		}
		select {
		case <-ctx.Done():
			return img, ctx.Err()
		case <-time.After(pause(res.Header, early)):
		}
	}
	return img, nil
}

// pause returns how long to leave an image alone after the answer to a poll: as long as Retry-After says, in seconds,
// and at least one second if the answer was early, which means before the wait was over and without a change, or if
// there was no time left to wait. A server with too many waiting clients answers at once, and so does one that stops;
// polling again at once would overload it. Up to half is added at random, so that many clients do not come back at the
// same moment.
func pause(header http.Header, early bool) time.Duration {
	seconds, err := strconv.Atoi(header.Get("Retry-After"))
	if err != nil || seconds < 0 {
		seconds = 0
	}
	pause := time.Duration(min(seconds, 300)) * time.Second
	if early {
		pause = max(pause, time.Second)
	}
	if pause == 0 {
		return 0
	}
	return pause + rand.N(pause/2)
}

// Result downloads the result of a processed image.
func (c *Client) Result(ctx context.Context, img Image) (Response, error) {
	return c.Expect(ctx, http.MethodGet, img.ProcessedImage, nil, nil, http.StatusOK)
}

// image reads an image from an answer.
func (c *Client) image(res Response, err error) (img Image, _ error) {
	if err != nil {
		return img, err
	}
	if err := json.Unmarshal(res.Body, &img); err != nil || img.ID == "" {
		return img, fmt.Errorf("%s answered no image", res.Request)
	}
	if c.Observe != nil {
		c.Observe(img)
	}
	return img, nil
}

// Form returns a multipart form with one file, as a browser sends it.
func Form(name string, file []byte) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, _ := w.CreateFormFile("file", name) // writing to a buffer cannot fail
	_, _ = part.Write(file)
	_ = w.Close()
	return w.FormDataContentType(), b.Bytes()
}

// ContentType returns a change of a request that sets its media type.
func ContentType(mediaType string) func(*http.Request) {
	return func(req *http.Request) { req.Header.Set("Content-Type", mediaType) }
}

// Expect sends a request until the answer has one of these statuses, or repeating cannot help; see Retry. Another
// status is a *StatusError.
func (c *Client) Expect(ctx context.Context, method, path string, body []byte, change func(*http.Request),
	status ...int) (Response, error) {
	for {
		res, err := c.Do(ctx, method, path, body, change)
		if err == nil && !slices.Contains(status, res.Status) {
			err = &StatusError{Request: res.Request, Status: res.Status, Message: message(res.Body)}
		}
		if err == nil || c.Retry == 0 || !Temporary(err) {
			return res, err
		}
		select {
		case <-ctx.Done():
			return res, fmt.Errorf("%w; the last attempt: %w", ctx.Err(), err)
		case <-time.After(c.Retry):
		}
	}
}

// Do sends one request once and reads the whole answer, whatever its status. The path may have a query; change, if it
// is not nil, is called with the request before it is sent.
func (c *Client) Do(ctx context.Context, method, path string, body []byte, change func(*http.Request)) (
	res Response, err error) {
	endpoint, _, _ := strings.Cut(path, "?")
	res.Request = method + " " + endpoint
	base, err := c.URL()
	if err != nil {
		return res, fmt.Errorf("%s: %w", res.Request, err)
	}
	req, err := http.NewRequestWithContext(ctx, method, base+path, bytes.NewReader(body))
	if err != nil {
		return res, fmt.Errorf("%s: %w", res.Request, withoutURL(err))
	}
	if change != nil {
		change(req)
	}
	answer, err := cmp.Or(c.HTTP, http.DefaultClient).Do(req)
	if err != nil {
		return res, fmt.Errorf("%s: %w", res.Request, withoutURL(err))
	}
	defer answer.Body.Close()
	res.URL, res.Status, res.Header = answer.Request.URL, answer.StatusCode, answer.Header
	from := io.Reader(answer.Body)
	if c.MaxBody > 0 {
		from = io.LimitReader(from, c.MaxBody+1)
	}
	if res.Body, err = io.ReadAll(from); err != nil {
		return res, fmt.Errorf("%s: read the answer: %w", res.Request, withoutURL(err))
	}
	if c.MaxBody > 0 && int64(len(res.Body)) > c.MaxBody {
		return res, fmt.Errorf("%s: the answer has more than %d bytes", res.Request, c.MaxBody)
	}
	return res, nil
}
