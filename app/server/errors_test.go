package server

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"net/http"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
)

// gigapixels returns a PNG header that claims 30000 x 30000 pixels.
func gigapixels() []byte {
	head := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0dIHDR"), make([]byte, 13)...)
	binary.BigEndian.PutUint32(head[16:], 30000)
	binary.BigEndian.PutUint32(head[20:], 30000)
	head[24], head[25] = 8, 2
	return binary.BigEndian.AppendUint32(head, crc32.ChecksumIEEE(head[12:29]))
}

// TestUploadErrors checks each error of an upload, and which one has priority where two apply.
func TestUploadErrors(t *testing.T) {
	t.Parallel()
	const tooLong = settings.MaxUploadBytes + settings.UploadEnvelope + 1
	text := []byte(strings.Repeat("This is not a photo at all. ", 10))
	svg := []byte(`<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>`)
	jpg := jpegPhoto(1)
	huge := sized(jpegPhoto(1), settings.MaxUploadBytes+1)
	broken := append([]byte("\xff\xd8\xff\xe0\x00\x10JFIF\x00"), make([]byte, 600)...)
	only := func(p part) []byte { b, _ := form(p); return b }
	longHeader := part{"form-data; name=x; filename=" + strings.Repeat("y", 200<<10), jpg}
	hugeBadPNG := sized(gigapixels(), settings.MaxUploadBytes+1)
	cut := func(b []byte, n int) []byte { return b[:len(b)-n] }
	const created, taken, absent, malformed = "created", "taken", "absent", "42"

	for _, test := range []struct {
		name        string
		image       string
		contentType string // formType unless set
		body        []byte
		status      int
		says        string
	}{
		{"id", malformed, "", only(file("a.jpg", jpg)), 400, "not a UUID"},
		{"id before form", malformed, "text/plain", nil, 400, "not a UUID"},
		{"no image", absent, "", only(file("a.jpg", jpg)), 404, "no such image"},
		{"no image before form", absent, "text/plain", text, 404, "no such image"},
		{"no form", created, "text/plain", text, 400, "multipart"},
		{"no content type", created, "-", jpg, 400, "multipart"},
		{"no boundary", created, "multipart/form-data", only(file("a.jpg", jpg)), 400, "multipart"},
		{"no form before declared length", created, "image/jpeg", make([]byte, tooLong), 400, "multipart"},
		{"other boundary", created, "multipart/form-data; boundary=x", only(file("a.jpg", jpg)), 400, "no file"},
		{"no body", created, "", nil, 400, "no file"},
		{"no file", created, "", only(field("file", jpg)), 400, "no file"},
		{"no file before declared length", created, "", only(field("file", make([]byte, tooLong))), 400, "64 KiB"},
		{"fields too long", created, "", only(field("comment", make([]byte, 64<<10+1))), 400, "64 KiB"},
		{"part header too long", created, "", only(longHeader), 400, "64 KiB"},
		{"declared length", created, "", only(file("a.jpg", sized(jpegPhoto(1), tooLong))), 413, "20 MiB"},
		{"declared length before type", created, "", only(file("a.jpg", make([]byte, tooLong))), 413, "20 MiB"},
		{"text", created, "", only(file("a.jpg", text)), 415, "not a photo"},
		{"svg", created, "", only(file("a.svg", svg)), 415, "not a photo"},
		{"empty file", created, "", only(file("a.jpg", nil)), 415, "not a photo"},
		{"empty file without a name", created, "", only(file("", nil)), 415, "not a photo"},
		{"type before size", created, "", only(file("a.jpg", make([]byte, settings.MaxUploadBytes+1))), 415, "not a photo"},
		{"type before taken", taken, "", only(file("a.jpg", text)), 415, "not a photo"},
		{"broken header", created, "", only(file("a.jpg", broken)), 422, "cannot be read"},
		{"header cut short", created, "", only(file("a.jpg", jpg[:100])), 422, "cannot be read"},
		{"gigapixels", created, "", only(file("a.png", gigapixels())), 422, "too many pixels"},
		{"header before size", created, "", only(file("a.png", hugeBadPNG)), 422, "too many pixels"},
		{"header before a cut", created, "", cut(only(file("a.png", gigapixels())), 20), 422, "too many pixels"},
		{"header before taken", taken, "", only(file("a.jpg", broken)), 422, "cannot be read"},
		{"size", created, "", only(file("a.jpg", huge)), 413, "20 MiB"},
		{"size before taken", taken, "", only(file("a.jpg", huge)), 413, "20 MiB"},
		{"cut in the photo", created, "", only(file("a.jpg", jpg))[:300], 400, "ended"},
		{"cut in the last boundary", created, "", cut(only(file("a.jpg", jpg)), 6), 400, "ended"},
		{"cut behind the file", created, "", cut(only2(file("a.jpg", jpg), field("x", text)), 40), 400, "ended"},
		{"cut before taken", taken, "", cut(only(file("a.jpg", jpg)), 6), 400, "ended"},
		{"taken", taken, "", only(file("a.jpg", jpg)), 409, "another photo"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w := newFakes()
			s := start(t, w, testTimeouts())
			id := test.image
			switch test.image {
			case created:
				id = w.put(imagery.Image{}).ID
			case taken:
				id = w.put(imagery.Image{State: imagery.Uploaded, Version: 1, RawKey: "upload/other"}).ID
			case absent:
				id = imagery.NewID()
			}
			contentType := test.contentType
			if contentType == "" {
				contentType = formType
			}
			before := w.item(id)
			r := s.request("POST", "/image/"+id+"/upload", bytes.NewReader(test.body), "Content-Type", contentType)
			if contentType == "-" {
				r.Header.Del("Content-Type")
			}
			s.do(r).expectProblem(t, test.status, test.says)
			w.expectNothingStored(t)
			if fmt.Sprint(w.item(id)) != fmt.Sprint(before) {
				t.Errorf("the image changed: %+v", w.item(id))
			}
		})
	}
}

func only2(a, b part) []byte { body, _ := form(a, b); return body }

// TestIDs: every route of an image rejects ids that are not canonical UUIDs, without a read of the catalog.
func TestIDs(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	id := imagery.NewID()
	body, _ := form(file("a.jpg", jpegPhoto(1)))
	for _, bad := range []string{
		"1", "..", "...", "%2e%2e%2f%2e%2e%2fetc%2fpasswd", "..%5c..%5cx", id + "0", id[:35],
		"{" + id + "}", "%7b" + id + "%7d", "urn:uuid:" + id, strings.ReplaceAll(id, "-", ""),
		id[:35] + "g", id[:35] + "%00", id + "%0d%0aX:y", "%" + fmt.Sprintf("%02x", id[0]) + id[1:],
		strings.Repeat("a", 5000), "null", "*"} {
		for _, r := range []*http.Request{
			s.request("GET", "/image/"+bad, nil),
			s.request("GET", "/image/"+bad+"?wait=1s", nil),
			s.request("GET", "/image/"+bad+"/processed", nil),
			s.request("POST", "/image/"+bad+"/upload", bytes.NewReader(body), "Content-Type", formType),
		} {
			s.do(r).expectProblem(t, 400, "not a UUID")
		}
	}
	for _, path := range []string{
		"/image/../../etc/passwd", "/../etc/passwd", "/image/x/y/upload", "/image//upload", "/web/index.html",
		"/%2e%2e/server.go", "/image", "/image/" + id + "/", "//", "/check.js/..", "/index.html/"} {
		c := s.dial()
		c.send([]byte("GET " + path + " HTTP/1.1\r\nHost: x\r\n\r\n"))
		if got := c.reply(); got.StatusCode < 400 || got.StatusCode > 405 {
			t.Errorf("%s: status %d", path, got.StatusCode)
		}
	}
	if w.reads != 0 {
		t.Errorf("%d reads of the catalog", w.reads)
	}
	upper := w.put(imagery.Image{})
	if got := s.get("/image/" + strings.ToUpper(upper.ID)).image(t); got.ID != upper.ID {
		t.Errorf("with capitals: id %s", got.ID)
	}
}

func TestUnknownRoutes(t *testing.T) {
	t.Parallel()
	s := start(t, newFakes(), testTimeouts())
	s.get("/nothing", "Accept", "text/html").expectProblem(t, 404, "nothing at this address")
	r := s.do(s.request("DELETE", "/image/"+imagery.NewID(), nil, "Accept", "text/html"))
	r.expectProblem(t, 405, "method")
	if allow := r.Header.Get("Allow"); !strings.Contains(allow, "GET") || !strings.Contains(allow, "HEAD") {
		t.Errorf("Allow: %q", allow)
	}
	s.do(s.request("POST", "/nothing", bytes.NewReader(make([]byte, 1<<20)))).expectProblem(t, 404, "nothing")
	s.do(s.request("POST", "/healthz", nil)).expectProblem(t, 405, "method")
}

// TestDependencyUnavailable: if the table or the bucket fails or hangs, the status is 503 within ten seconds.
func TestDependencyUnavailable(t *testing.T) {
	t.Parallel()
	hang := func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	fail := func(context.Context) error { return fmt.Errorf("dial tcp 10.0.0.7:443: secret internals") }
	for name, fault := range map[string]func(context.Context) error{"hangs": hang, "fails": fail} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newFakes()
			b := shortTimeouts()
			b.dependency = 200 * time.Millisecond
			s := start(t, w, b)
			id := w.put(imagery.Image{}).ID
			expectUnavailable := func(r *http.Request) {
				t.Helper()
				began := time.Now()
				got := s.do(r)
				got.expectProblem(t, 503, "does not answer")
				if strings.Contains(string(got.body), "secret") {
					t.Errorf("the response contains internals: %s", got.body)
				}
				if took := time.Since(began); took > 3*time.Second {
					t.Errorf("took %s", took)
				}
			}
			body, _ := form(file("a.jpg", jpegPhoto(1)))
			upload := func() *http.Request {
				return s.request("POST", "/image/"+id+"/upload", bytes.NewReader(body), "Content-Type", formType)
			}
			w.mu.Lock()
			w.onPut = fault
			w.mu.Unlock()
			expectUnavailable(upload())
			w.mu.Lock()
			w.onPut, w.onGet = nil, fault
			w.mu.Unlock()
			expectUnavailable(upload())
			expectUnavailable(s.request("GET", "/image/"+id, nil))
			expectUnavailable(s.request("GET", "/image/"+id+"?wait=5s", nil))
			expectUnavailable(s.request("GET", "/image/"+id+"/processed", nil))
			expectUnavailable(s.request("POST", "/image", strings.NewReader(`{"id":"`+id+`"}`)))
		})
	}
	if defaultTimeouts.dependency+2*time.Second >= 10*time.Second {
		t.Error("dependencies and the hint together may take ten seconds")
	}
}

func TestPanic(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	w.onGet = func(context.Context) error { panic("a bug") }
	got := s.get("/image/"+imagery.NewID(), "X-Request-Id", "mine-42")
	got.expectProblem(t, 500, "Internal error")
	if got.Header.Get("X-Request-Id") != "mine-42" || strings.Contains(string(got.body), "a bug") {
		t.Errorf("response %v %s", got.Header, got.body)
	}
	eventually(t, "the panic is logged with its stack", func() bool {
		l := s.log.String()
		return strings.Contains(l, "a bug") && strings.Contains(l, "mine-42") &&
			strings.Contains(l, "goroutine") && strings.Contains(l, `"ERROR"`)
	})
	s.get("/healthz")
}
