package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/jpeg"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"sync"
	"time"

	"imagery/app/admin/smoke"
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
	client *http.Client

	mu      sync.Mutex
	fronts  []string // where servers or balancers listen
	turn    int
	journal []upload      // the promises of the service
	givenUp []string      // images whose client got no answer and will not ask again
	broken  []error       // refusals that no repetition helps
	grown   chan struct{} // closed and replaced when the journal grows
}

func newTraffic(photos [][]byte, hasty bool) *traffic {
	return &traffic{photos: photos, hasty: hasty, client: &http.Client{Transport: &http.Transport{}}, grown: make(chan struct{})}
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
	_, err := t.persist(ctx, false, http.MethodPost, "/image", "application/json", []byte(`{"id":"`+u.id+`"}`))
	if err == nil {
		contentType, form := multipartOf(body)
		_, err = t.persist(ctx, t.hasty, http.MethodPost, "/image/"+u.id+"/upload", contentType, form)
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
		state, reason, err := t.final(ctx, u.id)
		if err != nil {
			errs = append(errs, fmt.Errorf("image %s was accepted and is not final: %w", u.id, err))
		} else if state != imagery.Processed {
			errs = append(errs, fmt.Errorf("image %s is %s though its photo is good: %s", u.id, state, reason))
		}
	}
	for _, id := range t.givenUp {
		if _, _, err := t.final(ctx, id); err != nil {
			errs = append(errs, fmt.Errorf("image %s arrived and is not final: %w", id, err))
		}
	}
	return errs
}

// final follows an image for as long as it has work to come.
func (t *traffic) final(ctx context.Context, id string) (state imagery.State, reason string, err error) {
	for {
		const wait = 5 * time.Second
		asked := time.Now()
		answer, err := t.persist(ctx, false, http.MethodGet, "/image/"+id+"?wait="+wait.String(), "", nil)
		if err != nil {
			return "", "", err
		}
		var view struct {
			State imagery.State
			Error string
		}
		if err := json.Unmarshal(answer, &view); err != nil || view.State != imagery.Uploaded {
			return view.State, view.Error, err
		}
		select {
		case <-ctx.Done(): // persist says so
		case <-time.After(smoke.Pause(nil, time.Since(asked) < wait)): // a server that is full answers at once
		}
	}
}

// persist sends a request until it is answered with success: again after errors and 5xx, at the next front. A
// hasty one is sent once.
func (t *traffic) persist(ctx context.Context, hasty bool, method, path, contentType string, body []byte) ([]byte, error) {
	for {
		answer, status, err := t.send(ctx, method, path, contentType, body)
		switch {
		case err == nil && status < 300:
			return answer, nil
		case err == nil && status < 500 && status != http.StatusRequestTimeout:
			return nil, fmt.Errorf("%s %s: %d %s", method, path, status, answer)
		case hasty:
			return nil, errGaveUp
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%s %s: %w (last answer %d %s, %v)", method, path, ctx.Err(), status, answer, err)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

func (t *traffic) send(ctx context.Context, method, path, contentType string, body []byte) (answer []byte, status int, err error) {
	front, err := t.front()
	if err != nil {
		return nil, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, method, front+path, bytes.NewReader(body))
	if err != nil {
		return nil, 0, err
	}
	req.Header.Set("Content-Type", contentType)
	res, err := t.client.Do(req)
	if err != nil {
		return nil, 0, err
	}
	defer res.Body.Close()
	answer, err = io.ReadAll(res.Body)
	return answer, res.StatusCode, err
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

// multipartOf is a form with one file.
func multipartOf(file []byte) (contentType string, body []byte) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	part, _ := w.CreateFormFile("file", "photo.jpg") // writing to memory cannot fail
	_, _ = part.Write(file)
	_ = w.Close()
	return w.FormDataContentType(), b.Bytes()
}
