package smoke

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	"image/png"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
)

// running is the release of the fake service.
var running = strings.Repeat("0a", 32)

// service is a fake of the service. It filters nothing: its results are made of the golden pictures. A test may replace
// any response.
type service struct {
	t       *testing.T
	replace map[string]http.HandlerFunc // by method and path, with ID for an id
	result  func(name string) []byte    // returns the bucket's object for a picture

	mu     sync.Mutex
	photos []string // names of the uploaded files, by id
	asked  []string
}

// serve starts a service and its bucket.
func serve(t *testing.T) (*service, string) {
	t.Helper()
	s := &service{t: t, replace: map[string]http.HandlerFunc{},
		result: func(name string) []byte { return correct(t, name) }}
	bucket := httptest.NewServer(s.answer("bucket ", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write(s.result(strings.TrimPrefix(r.URL.Path, "/")))
	}))
	t.Cleanup(bucket.Close)
	mux := http.NewServeMux()
	for route, answer := range map[string]http.HandlerFunc{
		"GET /healthz": func(http.ResponseWriter, *http.Request) {},
		"GET /version": func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, running) },
		"GET /{$}":     func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<!doctype html><title>x</title>") },
		"POST /image": func(w http.ResponseWriter, _ *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.photos = append(s.photos, "")
			w.WriteHeader(http.StatusCreated)
			fmt.Fprintf(w, `{"id":"%d","version":0,"state":"created"}`, len(s.photos)-1)
		},
		"POST /image/{id}/upload": func(w http.ResponseWriter, r *http.Request) {
			_, head, err := r.FormFile("file")
			if err != nil {
				t.Error(err)
				return
			}
			s.mu.Lock()
			defer s.mu.Unlock()
			s.photos[int(r.PathValue("id")[0]-'0')] = head.Filename
			w.WriteHeader(http.StatusAccepted)
			fmt.Fprintf(w, `{"id":%q,"version":1,"state":"uploaded"}`, r.PathValue("id"))
		},
		"GET /image/{id}": func(w http.ResponseWriter, r *http.Request) {
			const processed = `{"id":%[1]q,"version":2,"state":"processed","processedImage":"/image/%[1]s/processed"}`
			fmt.Fprintf(w, processed, r.PathValue("id"))
		},
		"GET /image/{id}/processed": func(w http.ResponseWriter, r *http.Request) {
			s.mu.Lock()
			defer s.mu.Unlock()
			name := s.photos[int(r.PathValue("id")[0]-'0')]
			http.Redirect(w, r, bucket.URL+"/"+name+"?X-Amz-Signature=5ecret", http.StatusFound)
		},
	} {
		mux.HandleFunc(route, s.answer("", answer))
	}
	at := httptest.NewServer(mux)
	t.Cleanup(at.Close)
	return s, at.URL
}

var number = regexp.MustCompile(`/[0-9]+`)

// answer records the request, and calls the handler that replaces the usual one, if there is one.
func (s *service) answer(prefix string, usual http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		asked := prefix + r.Method + " " + number.ReplaceAllString(r.URL.Path, "/ID")
		s.mu.Lock()
		s.asked = append(s.asked, asked)
		s.mu.Unlock()
		if other := s.replace[asked]; other != nil {
			other(w, r)
			return
		}
		usual(w, r)
	}
}

// correct returns the result that a correct service makes of a picture.
func correct(t *testing.T, name string) []byte {
	p := lake
	if name == phone.name {
		p = phone
	}
	data, err := pictures.ReadFile("pictures/" + p.golden)
	if err != nil {
		t.Error(err)
	}
	if name == lake.name {
		return data
	}
	m, err := png.Decode(bytes.NewReader(data))
	if err != nil {
		t.Error(err)
		return nil
	}
	return encode(t, m)
}

// encode encodes a picture as the product does.
func encode(t *testing.T, m image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, &jpeg.Options{Quality: 90}); err != nil {
		t.Error(err)
	}
	return b.Bytes()
}
