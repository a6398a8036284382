package server

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
)

// expectNothingStored checks that requests stored and queued nothing.
func (w *fakes) expectNothingStored(t *testing.T) {
	t.Helper()
	if objects, messages := w.written(); objects+messages != 0 {
		t.Errorf("%d objects stored, %d messages queued", objects, messages)
	}
}

// drip sends zeros, a few at a time, until the connection is closed.
func (c *rawClient) drip(chunked bool) {
	b := make([]byte, 5)
	if chunked {
		b = []byte("2\r\n\x00\x00\r\n")
	}
	for {
		if _, err := c.Write(b); err != nil {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestUploadTimeout: an upload that does not end gets status 408 at the upload timeout, counted from the end of the
// headers, and not before.
func TestUploadTimeout(t *testing.T) {
	t.Parallel()
	b := shortTimeouts()
	b.upload, b.oversized = 2*time.Second, 50*time.Millisecond
	body, _ := form(file("a.jpg", sized(jpegPhoto(1), 300<<10)))
	text := []byte("--" + boundary + "\r\nContent-Disposition: form-data; filename=a\r\n\r\nhello")
	for name, test := range map[string]struct {
		chunked bool
		sent    []byte
		drips   bool
		status  int
	}{
		"silent before the form":        {false, nil, false, 408},
		"silent in the photo":           {false, body[:1000], false, 408},
		"dripping":                      {false, body[:1000], true, 408},
		"dripping, chunked":             {true, body[:1000], true, 408},
		"dripping behind a chunk":       {true, body[:290<<10], true, 408},
		"silent behind the photo":       {false, body[:len(body)-4], false, 408},
		"silent behind the form":        {false, body, false, 408},
		"dripping, and not a photo":     {true, text, true, 415},
		"declared too large, then mute": {false, nil, false, 413},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFakes()
			s := start(t, w, b)
			id := w.put(imagery.Image{}).ID
			c := s.dial()
			length := 1 << 20
			if test.status == 413 {
				length = 30 << 20
			}
			if test.chunked {
				length = -1
			}
			began := time.Now()
			c.post(id, length, test.sent)
			if test.drips {
				go c.drip(test.chunked)
			}
			c.reply().expectProblem(t, test.status, "")
			took := time.Since(began)
			if (test.status == 408) != (took >= b.upload) && test.status != 415 || took > b.upload+2*time.Second {
				t.Errorf("response after %s", took)
			}
			w.expectNothingStored(t)
		})
	}
	t.Run("the time of the headers does not count", func(t *testing.T) {
		t.Parallel()
		w := newFakes()
		s := start(t, w, b)
		c := s.dial()
		c.send(fmt.Appendf(nil, "POST /image/%s/upload HTTP/1.1\r\nHost: x\r\n", w.put(imagery.Image{}).ID))
		time.Sleep(b.upload + 100*time.Millisecond) // the time that must not be counted
		c.send(fmt.Appendf(nil, "Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s", formType, len(body), body))
		if got := c.reply(); got.StatusCode != 202 {
			t.Errorf("%d %s", got.StatusCode, got.body)
		}
	})
	if defaultTimeouts.upload != time.Minute {
		t.Error("the contract says 60 s")
	}
}

// TestEarlyErrorIsReceived: a client that sends 30 MB before it reads still gets the response, even if it is slower
// than the server's first discard.
func TestEarlyErrorIsReceived(t *testing.T) {
	t.Parallel()
	text := bytes.Repeat([]byte("no photo "), 30<<20/9)
	for _, pause := range []time.Duration{0, 300 * time.Millisecond} {
		for name, test := range map[string]struct {
			head   string
			length int
			status int
		}{
			"no image":      {"POST /image/ABSENT/upload", 30 << 20, 404},
			"no form":       {"POST /image/FRESH/upload HTTP/1.1\r\nX-Content-Type", 30 << 20, 400},
			"too long":      {"POST /image/FRESH/upload", 30 << 20, 413},
			"not a photo":   {"POST /image/FRESH/upload", 20 << 20, 415},
			"unknown route": {"POST /nothing", 30 << 20, 404},
			"large create":  {"POST /image", 30 << 20, 400},
		} {
			t.Run(fmt.Sprint(name, pause), func(t *testing.T) {
				t.Parallel()
				w := newFakes()
				s := start(t, w, shortTimeouts())
				part := "--" + boundary + "\r\nContent-Disposition: form-data; name=f; filename=a\r\n\r\n"
				body := append([]byte(part), text...)[:test.length]
				c := s.dial()
				ids := strings.NewReplacer("FRESH", w.put(imagery.Image{}).ID, "ABSENT", imagery.NewID())
				head := ids.Replace(test.head)
				if !strings.Contains(head, "HTTP") {
					head += " HTTP/1.1\r\nContent-Type"
				}
				c.send(fmt.Appendf(nil, "%s: %s\r\nHost: x\r\nContent-Length: %d\r\n\r\n", head, formType, len(body)))
				c.send(body[:1<<20])
				time.Sleep(pause)
				c.send(body[1<<20:])
				c.reply().expectProblem(t, test.status, "")
				w.expectNothingStored(t)
			})
		}
	}
}

// TestDiscardHasTimeout: the rest of a rejected body is discarded for a limited time, then the connection is closed.
func TestDiscardHasTimeout(t *testing.T) {
	t.Parallel()
	b := shortTimeouts()
	b.discardTotal = 300 * time.Millisecond
	s := start(t, newFakes(), b)
	c := s.dial()
	began := time.Now()
	c.post(imagery.NewID(), 30<<20, nil)
	go c.drip(false)
	c.reply().expectProblem(t, 404, "")
	if _, err := c.in.ReadByte(); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("the connection stays open: %v", err)
	}
	if took := time.Since(began); took < b.discardTotal || took > 5*time.Second {
		t.Errorf("closed after %s", took)
	}
	if defaultTimeouts.discardTotal != 5*time.Second {
		t.Error("the contract says 5 s")
	}
}

// TestKeepAlive: the connection stays usable after a rejected body that was read to its end.
func TestKeepAlive(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	body, _ := form(file("a.jpg", bytes.Repeat([]byte("text"), 1<<20)))
	c := s.dial()
	id := w.put(imagery.Image{}).ID
	for range 3 {
		c.post(id, len(body), body)
		c.reply().expectProblem(t, 415, "")
	}
	body, _ = form(file("a.jpg", jpegPhoto(1)))
	c.post(id, len(body), body)
	if got := c.reply(); got.StatusCode != 202 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

// TestPartHeaderLimit: at most a few KiB of what a form has beside the file are kept in memory at a time, before and
// after the file.
func TestPartHeaderLimit(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	photo := "--" + boundary + "\r\nContent-Disposition: form-data; name=f; filename=a.jpg\r\n\r\n" +
		string(jpegPhoto(1)) + "\r\n"
	end, delimiter := "--"+boundary+"--\r\n", "--"+boundary+"\r\n"
	part := func(header string) string { return "--" + boundary + "\r\n" + header + "\r\n\r\nx\r\n" }
	long := "Content-Disposition: form-data; name=x\r\nX-Long: " + strings.Repeat("x", 2*maxPartHeader)
	many := "Content-Disposition: form-data; name=x" + strings.Repeat("\r\na: b", 70)
	short := part("Content-Disposition: form-data; name=x")
	for name, test := range map[string]struct {
		form   string
		status int
	}{
		"a long header behind the file": {photo + part(long) + end, 400},
		"a long header before the file": {part(long) + photo + end, 400},
		"many fields behind the file":   {photo + part(many) + end, 400},
		"many fields before the file":   {part(many) + photo + end, 400},
		"many parts behind the file":    {photo + strings.Repeat(short, 200) + end, 202},
		"many parts before the file":    {strings.Repeat(short, 200) + photo + end, 202},
		"a long field behind the file":  {photo + delimiter + "\r\n" + strings.Repeat("x", 100<<10) + "\r\n" + end, 202},
		"a long preamble":               {strings.Repeat("x", 20<<10) + "\r\n" + photo + end, 400},
		"a long epilogue":               {photo + end + strings.Repeat("x", 100<<10), 202},
	} {
		r := s.request("POST", "/image/"+w.put(imagery.Image{}).ID+"/upload", strings.NewReader(test.form))
		r.Header.Set("Content-Type", formType)
		if got := s.do(r); got.StatusCode != test.status {
			t.Errorf("%s: %d %s, want %d", name, got.StatusCode, got.body, test.status)
		}
	}
}
