package server

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

// reply is an answer, read to its end.
type reply struct {
	*http.Response
	body []byte
}

// follow no redirects: they are answers to be tested.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (s *running) do(r *http.Request) reply {
	s.t.Helper()
	resp, err := client.Do(r)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp, body}
}

func (s *running) request(method, path string, body io.Reader, headers ...string) *http.Request {
	s.t.Helper()
	r, err := http.NewRequest(method, s.url+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	return r
}

func (s *running) get(path string, headers ...string) reply {
	s.t.Helper()
	return s.do(s.request("GET", path, nil, headers...))
}

// upload sends a photo as browsers do.
func (s *running) upload(id string, photo []byte, headers ...string) reply {
	s.t.Helper()
	body, contentType := form(file("photo.jpg", photo))
	return s.do(s.request("POST", "/image/"+id+"/upload", bytes.NewReader(body), append(headers, "Content-Type", contentType)...))
}

// part is one part of a form.
type part struct {
	disposition string
	content     []byte
}

func file(name string, content []byte) part {
	return part{fmt.Sprintf("form-data; name=file; filename=%q", name), content}
}

func field(name string, content []byte) part {
	return part{fmt.Sprintf("form-data; name=%q", name), content}
}

const boundary = "the-boundary"

const formType = "multipart/form-data; boundary=" + boundary

// form renders parts.
func form(parts ...part) (body []byte, contentType string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	if err := w.SetBoundary(boundary); err != nil {
		panic(err)
	}
	for _, p := range parts {
		out, err := w.CreatePart(textproto.MIMEHeader{"Content-Disposition": {p.disposition}})
		if err != nil {
			panic(err)
		}
		out.Write(p.content)
	}
	w.Close()
	return b.Bytes(), formType
}

// image decodes an answer that must be an image.
func (r reply) image(t *testing.T) answer {
	t.Helper()
	var a answer
	if err := json.Unmarshal(r.body, &a); err != nil || a.ID == "" {
		t.Fatalf("no image in the answer: %d %q (%v)", r.StatusCode, r.body, err)
	}
	return a
}

// refused checks that the answer is a problem that a person understands.
func (r reply) refused(t *testing.T, status int, says string) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", r.StatusCode, status, r.body)
	}
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	var p problem
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatalf("%v in %q", err, r.body)
	}
	if p.Status != status || p.Type != "about:blank" || p.Title == "" || p.RequestID == "" || p.RequestID != r.Header.Get("X-Request-Id") {
		t.Errorf("problem %+v, header %q", p, r.Header.Get("X-Request-Id"))
	}
	if !strings.Contains(p.Detail, says) {
		t.Errorf("detail %q does not say %q", p.Detail, says)
	}
	if again := r.Header.Get("Retry-After") != ""; again != (status == http.StatusServiceUnavailable) {
		t.Errorf("Retry-After %q with status %d", r.Header.Get("Retry-After"), status)
	}
}

// raw is a connection on which a test can be a bad client.
type raw struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func (s *running) dial() *raw {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &raw{c, s.t, bufio.NewReader(c)}
}

// post begins an upload: headers with the given length, or chunked if it is negative, and the body so far.
func (c *raw) post(id string, length int, body []byte) {
	c.t.Helper()
	framing := fmt.Sprintf("Content-Length: %d", length)
	if length < 0 {
		framing = "Transfer-Encoding: chunked"
		body = fmt.Appendf(nil, "%x\r\n%s\r\n", len(body), body)
	}
	c.send(fmt.Appendf(nil, "POST /image/%s/upload HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n%s\r\n\r\n%s", id, formType, framing, body))
}

func (c *raw) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *raw) reply() reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("read the answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("read the answer: %v", err)
	}
	return reply{resp, body}
}
