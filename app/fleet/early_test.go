package fleet

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/iotest"
	"time"

	"imagery/app/testing/short"
)

// tooLarge responds before it reads the body, then reads it so that closing does not discard the response.
func tooLarge(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Length", "9")
	w.WriteHeader(http.StatusRequestEntityTooLarge)
	io.WriteString(w, "too large")
	w.(http.Flusher).Flush()
	if r.Header.Get("Expect") == "" {
		io.Copy(io.Discard, r.Body)
	}
}

// TestEarlyAnswer: a response before the end of the body reaches a client that is still sending, or has stopped.
func TestEarlyAnswer(t *testing.T) {
	_, addr := balance(t, tooLarge)
	for _, head := range []string{"Content-Length: 20000000\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n5\r\n"} {
		c := dialRaw(t, addr, "POST /x HTTP/1.1\r\nHost: h\r\n"+head+"begin")
		began := time.Now()
		res := c.answer(t)
		if res.StatusCode != http.StatusRequestEntityTooLarge || !res.Close {
			t.Errorf("%s, close %t", res.Status, res.Close)
		}
		if d := time.Since(began); d > time.Second {
			t.Errorf("the answer took %s", d)
		}
	}
}

// TestEarlyAnswerToALateReader: a client that reads only after it has sent everything still gets the response.
func TestEarlyAnswerToALateReader(t *testing.T) {
	_, addr := balance(t, tooLarge)
	c := dialRaw(t, addr, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 20000000\r\n\r\n")
	piece := strings.Repeat("x", 1_000_000)
	for i := range 20 {
		if _, err := io.WriteString(c, piece); err != nil {
			t.Fatalf("after %d MB: %v", i, err)
		}
		time.Sleep(50 * time.Millisecond) // a slow network: the response arrives long before the end
	}
	if res := c.answer(t); res.StatusCode != http.StatusRequestEntityTooLarge {
		t.Error(res.Status)
	}
}

// TestNoSmuggling: the rest of a body after an early response is never parsed as the next request.
func TestNoSmuggling(t *testing.T) {
	short.Skip(t, "ambiguous requests of real clients")
	t.Parallel()
	var smuggled atomic.Bool
	_, addr := balance(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/smuggled" {
			smuggled.Store(true)
		}
		tooLarge(w, r)
	})
	c := dialRaw(t, addr, "POST /x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nbegin")
	c.answer(t)
	time.Sleep(drainTimeout + 500*time.Millisecond)
	io.WriteString(c, "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n")
	if n, err := io.Copy(io.Discard, c.Reader); n > 100 || errors.Is(err, net.ErrClosed) {
		t.Errorf("%d more bytes were answered, %v", n, err)
	}
	if smuggled.Load() {
		t.Error("the rest of the body was taken for a request")
	}
}

func TestExpectContinue(t *testing.T) {
	short.Skip(t, "uploads with Expect: 100-continue")
	t.Parallel()
	_, addr := balance(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			tooLarge(w, r)
			return
		}
		ok(w, r)
	})
	head := " HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
	for range 20 {
		c := dialRaw(t, addr, "POST /take"+head)
		if res := c.answer(t); res.StatusCode != http.StatusContinue {
			t.Fatalf("no 100 but %s", res.Status)
		}
		io.WriteString(c, "body")
		res := c.answer(t)
		for res.StatusCode == http.StatusContinue { // net/http and the server may both send it
			res = c.answer(t)
		}
		if body, _ := io.ReadAll(res.Body); res.StatusCode != http.StatusOK || string(body) != "body" {
			t.Fatalf("%s %q", res.Status, body)
		}
	}
	c := dialRaw(t, addr, "POST /refuse"+head)
	began := time.Now()
	res := c.answer(t)
	io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusRequestEntityTooLarge || !res.Close {
		t.Errorf("%s, close %t", res.Status, res.Close)
	}
	if _, err := c.Reader.ReadByte(); err != io.EOF || time.Since(began) > drainTimeout+time.Second {
		t.Errorf("the connection is not closed after an early response: %v after %s", err, time.Since(began))
	}
}

// TestCutUpload: a truncated body is reported as an error of the client.
func TestCutUpload(t *testing.T) {
	serverSaw := make(chan error, 1)
	_, addr := balance(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.Copy(io.Discard, r.Body)
		serverSaw <- err
	})
	c := dialRaw(t, addr, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nbegin")
	c.Conn.(*net.TCPConn).CloseWrite()
	isProblem(t, c.answer(t), http.StatusBadRequest)
	if err := <-serverSaw; err == nil {
		t.Error("the server took a part for the whole")
	}
}

// closedBody is a body that net/http has closed as soon as it was read.
type closedBody struct{ io.Reader }

func (b *closedBody) Close() error { return nil }

func (b *closedBody) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if err == io.EOF {
		b.Reader = iotest.ErrReader(http.ErrBodyReadAfterClose)
	}
	return n, err
}

// TestEndOfUploadIsFinal: a body that has ended returns io.EOF even after it was closed.
func TestEndOfUploadIsFinal(t *testing.T) {
	u := &requestBody{ReadCloser: &closedBody{strings.NewReader("body")}}
	for range 3 {
		if _, err := io.ReadAll(u); err != nil {
			t.Error(err)
		}
	}
	if !u.ended.Load() || u.broken.Load() {
		t.Errorf("ended %t, broken %t", u.ended.Load(), u.broken.Load())
	}
}

// TestKeepsClientConnections: a client connection is reused when the bodies were read.
func TestKeepsClientConnections(t *testing.T) {
	_, addr := balance(t, ok)
	c := dialRaw(t, addr, "")
	for range 5 {
		for _, body := range []string{"Content-Length: 4\r\n\r\nbody",
			"Transfer-Encoding: chunked\r\n\r\n4\r\nbody\r\n0\r\n\r\n", "\r\n"} {
			io.WriteString(c, "POST / HTTP/1.1\r\nHost: h\r\n"+body)
			res := c.answer(t)
			if got, err := io.ReadAll(res.Body); err != nil || res.Close || !strings.Contains(body, string(got)) {
				t.Fatalf("%s %q, close %t, %v", res.Status, got, res.Close, err)
			}
		}
	}
}
