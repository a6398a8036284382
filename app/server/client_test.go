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

// reply is a response, read to its end.
type reply struct {
	*http.Response
	body []byte
}

// client follows no redirects, since tests check them.
var client = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func (s *testServer) do(r *http.Request) reply {
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

func (s *testServer) request(method, path string, body io.Reader, headers ...string) *http.Request {
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

func (s *testServer) get(path string, headers ...string) reply {
	s.t.Helper()
	return s.do(s.request("GET", path, nil, headers...))
}

// upload sends a photo as a browser does.
func (s *testServer) upload(id string, photo []byte, headers ...string) reply {
	s.t.Helper()
	body, contentType := form(file("photo.jpg", photo))
	headers = append(headers, "Content-Type", contentType)
	return s.do(s.request("POST", "/image/"+id+"/upload", bytes.NewReader(body), headers...))
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

// form encodes parts as a multipart form.
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

// image decodes a response that must be an image.
func (r reply) image(t *testing.T) imageJSON {
	t.Helper()
	var a imageJSON
	if err := json.Unmarshal(r.body, &a); err != nil || a.ID == "" {
		t.Fatalf("no image in the response: %d %q (%v)", r.StatusCode, r.body, err)
	}
	return a
}

// expectProblem checks that the response is a complete problem document whose detail contains a text.
func (r reply) expectProblem(t *testing.T, status int, detail string) {
	t.Helper()
	if r.StatusCode != status {
		t.Fatalf("status %d, want %d: %s", r.StatusCode, status, r.body)
	}
	if got := r.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("content type %q", got)
	}
	var p struct {
		Type, Title, Detail, RequestID string
		Status                         int
	}
	if err := json.Unmarshal(r.body, &p); err != nil {
		t.Fatalf("%v in %q", err, r.body)
	}
	requestID := r.Header.Get("X-Request-Id")
	if p.Status != status || p.Type != "about:blank" || p.Title == "" || p.RequestID == "" || p.RequestID != requestID {
		t.Errorf("problem %+v, header %q", p, requestID)
	}
	if !strings.Contains(p.Detail, detail) {
		t.Errorf("detail %q does not say %q", p.Detail, detail)
	}
	if again := r.Header.Get("Retry-After") != ""; again != (status == http.StatusServiceUnavailable) {
		t.Errorf("Retry-After %q with status %d", r.Header.Get("Retry-After"), status)
	}
}

// rawClient is a connection on which a test controls each byte sent.
type rawClient struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func (s *testServer) dial() *rawClient {
	s.t.Helper()
	c, err := net.Dial("tcp", s.addr)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(30 * time.Second))
	return &rawClient{c, s.t, bufio.NewReader(c)}
}

// post starts an upload: it sends headers with the given length, or chunked if it is negative, and a part of the body.
func (c *rawClient) post(id string, length int, body []byte) {
	c.t.Helper()
	framing := fmt.Sprintf("Content-Length: %d", length)
	if length < 0 {
		framing = "Transfer-Encoding: chunked"
		body = fmt.Appendf(nil, "%x\r\n%s\r\n", len(body), body)
	}
	c.send(fmt.Appendf(nil, "POST /image/%s/upload HTTP/1.1\r\nHost: x\r\nContent-Type: %s\r\n%s\r\n\r\n%s",
		id, formType, framing, body))
}

func (c *rawClient) send(b []byte) {
	c.t.Helper()
	if _, err := c.Write(b); err != nil {
		c.t.Fatalf("send: %v", err)
	}
}

func (c *rawClient) reply() reply {
	c.t.Helper()
	resp, err := http.ReadResponse(c.in, nil)
	if err != nil {
		c.t.Fatalf("read the response: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		c.t.Fatalf("read the response: %v", err)
	}
	return reply{resp, body}
}
