package server

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
)

func keyOf(id string, photo []byte) string {
	sum := sha256.Sum256(photo)
	return "upload/" + id + "/" + hex.EncodeToString(sum[:])
}

func TestCreate(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	create := func(body string) reply {
		return s.do(s.request("POST", "/image", strings.NewReader(body), "Content-Type", "text/plain"))
	}
	for _, body := range []string{"", "  \n", "{}", `{"unknown":[1,{}],"ID":7}`} {
		got := create(body)
		img := got.image(t)
		want := fmt.Sprintf(`{"id":%q,"version":0,"state":"created","created":%d}`, img.ID, img.Created)
		location := got.Header.Get("Location")
		if got.StatusCode != 201 || strings.TrimSpace(string(got.body)) != want || location != "/image/"+img.ID {
			t.Errorf("%q: %d %s, Location %q", body, got.StatusCode, got.body, location)
		}
		if age := time.Since(time.UnixMilli(img.Created)); age < 0 || age > time.Minute {
			t.Errorf("created %s ago", age)
		}
	}
	id := "ABCDEF00-0000-7000-8000-00000000000A"
	for i, want := range []int{201, 200, 200} {
		got := create(`{"id":"` + id + `","more":1}`)
		if got.StatusCode != want || got.image(t).ID != strings.ToLower(id) {
			t.Errorf("create %d: %d %s", i, got.StatusCode, got.body)
		}
	}
	w.put(imagery.Image{ID: strings.ToLower(id), State: imagery.Failed, Version: 2, Error: "why"})
	if got := create(`{"id":"` + id + `"}`); got.StatusCode != 200 || got.image(t).Error != "why" {
		t.Errorf("create of a failed image: %d %s", got.StatusCode, got.body)
	}
	for _, body := range []string{
		`[]`, `null`, `7`, `"x"`, `{`, `{}{}`,
		`{"id":7}`, `{"id":null}`, `{"id":""}`, `{"id":"x"}`, `{"id":" ` + id + `"}`,
		`{"x":"` + strings.Repeat("y", maxCreate) + `"}`} {
		create(body).expectProblem(t, 400, "")
	}
	w.expectNothingStored(t)
}

// TestUploadForms: every form in which a photo may be sent.
func TestUploadForms(t *testing.T) {
	t.Parallel()
	jpg := jpegPhoto(3)
	longField := make([]byte, 64<<10-1)
	exactly20 := sized(jpegPhoto(3), settings.MaxUploadBytes)
	for name, test := range map[string]struct {
		parts   []part
		chunked bool
		photo   []byte
	}{
		"plain":             {[]part{file("a.jpg", jpg)}, false, jpg},
		"chunked":           {[]part{file("a.jpg", jpg)}, true, jpg},
		"png named jpg":     {[]part{file("a.jpg", pngPhoto())}, false, pngPhoto()},
		"any field name":    {[]part{{`form-data; name="x y"; filename="ä ö.jpg"`, jpg}}, false, jpg},
		"odd file name":     {[]part{{`form-data; name="f"; filename="a"b;c.jpg"`, jpg}}, false, jpg},
		"path in the name":  {[]part{{`form-data; name="f"; filename="../../../etc/passwd"`, jpg}}, false, jpg},
		"empty file name":   {[]part{{`form-data; name="f"; filename=""`, jpg}}, false, jpg},
		"fields before":     {[]part{field("a", []byte("x")), field("b", longField), file("a.jpg", jpg)}, false, jpg},
		"the first file":    {[]part{file("a.jpg", jpg), file("b.jpg", pngPhoto()), field("c", []byte("x"))}, true, jpg},
		"20 MiB":            {[]part{file("a.jpg", exactly20)}, false, exactly20},
		"20 MiB and fields": {[]part{field("a", make([]byte, 63<<10)), file("a.jpg", exactly20)}, false, exactly20},
		"20 MiB, chunked":   {[]part{file("a.jpg", exactly20)}, true, exactly20},
		"exactly one block": {[]part{file("a.jpg", sized(jpegPhoto(3), blockSize))}, false, sized(jpegPhoto(3), blockSize)},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFakes()
			onlyOneUpload := func(o *Options) { o.Budget = settings.MaxUploadBytes }
			s := start(t, w, testTimeouts(), onlyOneUpload)
			id := w.put(imagery.Image{Created: time.UnixMilli(1700000000123)}).ID
			body, contentType := form(test.parts...)
			var r io.Reader = bytes.NewReader(body)
			if test.chunked {
				r = io.MultiReader(r) // hides the length
			}
			trace := "00-0123456789abcdef0123456789abcdef-0123456789abcdef-01"
			got := s.do(s.request("POST", "/image/"+strings.ToUpper(id)+"/upload", r,
				"Content-Type", contentType, "Accept", "*/*", "traceparent", trace))
			key := keyOf(id, test.photo)
			want := fmt.Sprintf(`{"id":%q,"version":1,"state":"uploaded","created":1700000000123,"rawS3Key":%q}`, id, key)
			if got.StatusCode != 202 || strings.TrimSpace(string(got.body)) != want {
				t.Fatalf("%d %s", got.StatusCode, got.body)
			}
			stored, err := w.blobs.Get(t.Context(), key, maxForm)
			if keys := w.blobs.Keys(); err != nil || !bytes.Equal(stored, test.photo) || len(keys) != 1 {
				t.Errorf("stored %v, the photo: %t, %v", keys, bytes.Equal(stored, test.photo), err)
			}
			ms, _ := w.queue.Receive(t.Context(), 10, 0)
			if len(ms) != 1 || ms[0].Trace != trace || !strings.Contains(string(ms[0].Body), id) {
				t.Errorf("sent %+v", ms)
			}
		})
	}
}

func TestUploadFromTheBrowser(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	id := w.put(imagery.Image{}).ID
	got := s.upload(id, jpegPhoto(1), "Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	if got.StatusCode != 302 || got.Header.Get("Location") != "/#view="+id {
		t.Errorf("%d to %q", got.StatusCode, got.Header.Get("Location"))
	}
	s.upload(id, jpegPhoto(2), "Accept", "text/html").expectProblem(t, 409, "another photo")
}

// TestHintLost: an upload whose hint cannot be sent succeeds, and the log has a warning.
func TestHintLost(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	w.onSend = func(context.Context) error { return errors.New("no queue today") }
	if got := s.upload(w.put(imagery.Image{}).ID, jpegPhoto(1)); got.StatusCode != 202 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	eventually(t, "the lost hint is logged", func() bool {
		return strings.Contains(s.log.String(), `"WARN"`) && strings.Contains(s.log.String(), "no queue today")
	})
}

// TestExpectContinue: a client that sends Expect: 100-continue is not asked for a body that would be rejected.
func TestExpectContinue(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	id := w.put(imagery.Image{}).ID
	for _, test := range []struct {
		id     string
		length int
		status int
	}{{id, 30 << 20, 413}, {imagery.NewID(), 1000, 404}, {"x", 1000, 400}} {
		c := s.dial()
		c.send(fmt.Appendf(nil, "POST /image/%s/upload HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n"+
			"Content-Type: %s\r\nContent-Length: %d\r\n\r\n",
			test.id, formType, test.length))
		c.reply().expectProblem(t, test.status, "")
	}
	body, contentType := form(file("a.jpg", jpegPhoto(1)))
	got := s.do(s.request("POST", "/image/"+id+"/upload", bytes.NewReader(body),
		"Content-Type", contentType, "Expect", "100-continue"))
	if got.StatusCode != 202 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

// TestHalfClose: a client that closes its sending side after the last byte still gets the response.
func TestHalfClose(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	body, _ := form(file("a.jpg", jpegPhoto(1)))
	w.onPut = func(ctx context.Context) error { // long enough for the server to notice the closed side
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
			return nil
		}
	}
	c := s.dial()
	c.post(w.put(imagery.Image{}).ID, len(body), body)
	if err := c.Conn.(*net.TCPConn).CloseWrite(); err != nil {
		t.Fatal(err)
	}
	if got := c.reply(); got.StatusCode != 202 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}
