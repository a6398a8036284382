package server

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/short"
)

func TestHealth(t *testing.T) {
	short.Skip(t, "health during an outage")
	t.Parallel()
	w := newFakes()
	b := testTimeouts()
	b.ready = time.Second
	s := start(t, w, b)
	if got := s.get("/healthz"); got.StatusCode != 200 {
		t.Errorf("/healthz %d", got.StatusCode)
	}
	got := s.get("/version")
	contentType := got.Header.Get("Content-Type")
	if got.StatusCode != 200 || string(got.body) != strings.Repeat("ab", 32)+"\n" ||
		!strings.HasPrefix(contentType, "text/plain") {
		t.Errorf("/version %d %q %s", got.StatusCode, got.body, contentType)
	}
	if got := s.do(s.request("HEAD", "/readyz", nil)); got.StatusCode != 200 {
		t.Errorf("/readyz %d", got.StatusCode)
	}
	// A success is cached for two seconds; then each dependency that fails is named.
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	w.mu.Lock()
	w.onPut, w.onSend = hang, func(context.Context) error { return errors.New("secret") }
	w.mu.Unlock()
	if got := s.get("/readyz"); got.StatusCode != 200 {
		t.Errorf("/readyz just after a success: %d", got.StatusCode)
	}
	eventually(t, "/readyz fails", func() bool { return s.get("/readyz").StatusCode == 503 })
	got = s.get("/readyz")
	got.expectProblem(t, 503, "bucket, queue")
	if strings.Contains(string(got.body), "table") || strings.Contains(string(got.body), "secret") {
		t.Errorf("%s", got.body)
	}
	if got := s.get("/healthz"); got.StatusCode != 200 {
		t.Errorf("/healthz calls dependencies: %d", got.StatusCode)
	}
	w.mu.Lock()
	w.onPut, w.onSend = nil, nil
	w.mu.Unlock()
	eventually(t, "/readyz recovers", func() bool { return s.get("/readyz").StatusCode == 200 })
}

// TestStop: /readyz fails and long polls return at once, other requests are still served during the lame duck period,
// an upload in flight is finished, and Run returns.
func TestStop(t *testing.T) {
	t.Parallel()
	w := newFakes()
	b := defaultTimeouts // with a lame duck period of a second
	s := start(t, w, b)
	waiting := w.put(imagery.Image{State: imagery.Uploaded, Version: 1}).ID
	answered := make(chan reply, 1)
	go func() { answered <- s.get("/image/" + waiting + "?wait=20s") }()
	body, _ := form(file("a.jpg", sized(jpegPhoto(1), 2*unpooledSize)))
	c := s.dial()
	c.post(w.put(imagery.Image{}).ID, len(body), body[:unpooledSize+1000])
	eventually(t, "both are in flight", func() bool { return s.waiting() == 1 && s.srv.inUse() == 1 })

	s.stop()
	select {
	case got := <-answered:
		if got.StatusCode != 200 || got.image(t).Version != 1 {
			t.Errorf("the long poll: %d %s", got.StatusCode, got.body)
		}
	case <-time.After(700 * time.Millisecond):
		t.Error("the long poll did not return at once")
	}
	s.get("/readyz").expectProblem(t, 503, "stopping")
	if got := s.get("/healthz"); got.StatusCode != 200 || !got.Close {
		t.Errorf("/healthz %d, closes %t", got.StatusCode, got.Close)
	}
	if got := s.get("/image/" + waiting + "?wait=20s"); got.StatusCode != 200 {
		t.Errorf("a long poll during the stop: %d", got.StatusCode)
	}
	eventually(t, "the listener is closed", func() bool {
		probe, err := net.Dial("tcp", s.addr)
		if err == nil {
			probe.Close()
		}
		return err != nil
	})
	select {
	case <-s.done:
		t.Fatal("Run returned before the upload ended")
	default:
	}
	c.send(body[unpooledSize+1000:])
	if got := c.reply(); got.StatusCode != 202 {
		t.Errorf("the upload: %d %s", got.StatusCode, got.body)
	}
	if err := <-s.done; err != nil {
		t.Errorf("Run: %v", err)
	}
}

// TestStopHasTimeout: a request that does not end does not block the stop.
func TestStopHasTimeout(t *testing.T) {
	t.Parallel()
	w := newFakes()
	b := testTimeouts()
	b.drain = 200 * time.Millisecond
	s := start(t, w, b)
	c := s.dial()
	c.post(w.put(imagery.Image{}).ID, 1000, nil)
	eventually(t, "the upload is in flight", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.reads == 1
	})
	began := time.Now()
	s.stop()
	if err := <-s.done; err != nil || time.Since(began) > 5*time.Second {
		t.Errorf("Run: %v after %s", err, time.Since(began))
	}
}

func TestListenerFails(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	err = New(options(newFakes(), io.Discard)).Run(t.Context(), l)
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("Run on a closed listener: %v", err)
	}
}

func TestRequestID(t *testing.T) {
	t.Parallel()
	s := start(t, newFakes(), testTimeouts())
	for sent, kept := range map[string]bool{
		"abc-1.2_3": true, "": false, "with space": false, "a\"b": false, strings.Repeat("x", 65): false} {
		for _, path := range []string{"/healthz", "/nothing", "/"} {
			got := s.get(path, "X-Request-Id", sent).Header.Get("X-Request-Id")
			if got == "" || (got == sent) != kept {
				t.Errorf("%s with %q: %q", path, sent, got)
			}
		}
	}
}

// TestHead: the response to HEAD is that to GET without its body.
func TestHead(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	id := w.put(imagery.Image{}).ID
	for _, path := range []string{"/", "/version", "/image/" + id, "/image/" + id + "/processed", "/nothing"} {
		get, head := s.get(path), s.do(s.request(http.MethodHead, path, nil))
		if head.StatusCode != get.StatusCode || len(head.body) != 0 ||
			head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
			t.Errorf("%s: HEAD %d %v, GET %d %v", path, head.StatusCode, head.Header, get.StatusCode, get.Header)
		}
	}
}
