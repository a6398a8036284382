package server

import (
	"bytes"
	"encoding/json"
	"io/fs"
	"net/http"
	"strings"
	"testing"

	"imagery/app/imagery"
)

func TestShow(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	img := w.put(imagery.Image{State: imagery.Failed, Version: 2, RawKey: "r", Error: `It is "broken" <b>.`})
	got := s.get("/image/" + img.ID)
	if a := got.image(t); got.StatusCode != 200 || a.Error != img.Error || a.RawKey != "r" || a.ProcessedImage != "" {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	if h := got.Header; !strings.HasPrefix(h.Get("Content-Type"), "application/json") ||
		h.Get("Cache-Control") != "no-store" || h.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", h)
	}
	if bytes.Contains(got.body, []byte("warning")) {
		t.Errorf("an image that was not mended: %s", got.body)
	}
	img.State, img.Error, img.ProcessedKey = imagery.Processed, "", "processed/k.jpg"
	img.Warning = "The end of this photo is missing."
	w.put(img)
	got = s.get("/image/" + img.ID)
	var members map[string]any
	if err := json.Unmarshal(got.body, &members); err != nil ||
		members["processedImage"] != "/image/"+img.ID+"/processed" || members["error"] != nil ||
		members["warning"] != img.Warning {
		t.Errorf("%s", got.body)
	}
	order := -1
	for _, name := range []string{
		`"id"`, `"version"`, `"state"`, `"created"`, `"rawS3Key"`, `"processedS3Key"`, `"processedImage"`,
		`"warning"`} {
		at := bytes.Index(got.body, []byte(name))
		if at <= order {
			t.Errorf("%s is out of order in %s", name, got.body)
		}
		order = at
	}
	s.get("/image/"+imagery.NewID()).expectProblem(t, 404, "no such image")
}

func TestResultBytes(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	s.get("/image/"+imagery.NewID()+"/processed").expectProblem(t, 404, "no such image")
	s.get("/image/"+w.put(imagery.Image{}).ID+"/processed").expectProblem(t, 404, "no result")
	lost := w.put(imagery.Image{State: imagery.Processed, ProcessedKey: "gone.jpg"}).ID
	s.get("/image/"+lost+"/processed").expectProblem(t, 404, "")
	result := bytes.Repeat([]byte("sepia"), 1<<20)
	for ext, contentType := range map[string]string{"jpg": "image/jpeg", "png": "image/png"} {
		img := imagery.Image{ID: imagery.NewID(), State: imagery.Processed}
		img.ProcessedKey = imagery.ProcessedKey(img.ID, "0123", ext)
		w.put(img)
		w.putObject(img.ProcessedKey, result)
		path := "/image/" + img.ID + "/processed"
		got := s.get(path)
		h := got.Header
		if got.StatusCode != 200 || !bytes.Equal(got.body, result) ||
			h.Get("Content-Type") != contentType || h.Get("Content-Disposition") != "" ||
			!strings.Contains(h.Get("Content-Security-Policy"), "sandbox") || h.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%d, %d bytes, %v", got.StatusCode, len(got.body), h)
		}
		etag := h.Get("ETag")
		if again := s.get(path, "If-None-Match", etag); again.StatusCode != 304 || etag != `"0123.`+ext+`"` {
			t.Errorf("ETag %s: %d", etag, again.StatusCode)
		}
		if part := s.get(path, "Range", "bytes=1-3"); part.StatusCode != 206 || string(part.body) != "epi" {
			t.Errorf("a range: %d %q", part.StatusCode, part.body)
		}
		if whole := s.get(path, "Range", "bytes=0-0,2-2"); whole.StatusCode != 200 || len(whole.body) != len(result) {
			t.Errorf("two ranges: %d, %d bytes", whole.StatusCode, len(whole.body))
		}
		got = s.get(path + "?download=1")
		if d := got.Header.Get("Content-Disposition"); got.StatusCode != 200 || d != "attachment; filename="+img.ID+"."+ext {
			t.Errorf("download: %d %q", got.StatusCode, d)
		}
	}
	// A client may have the last response before its handler returns.
	eventually(t, "all results are closed", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.closed == 10
	})
}

func TestResultLink(t *testing.T) {
	t.Parallel()
	w := newFakes()
	w.link = "https://bucket.example/"
	s := start(t, w, testTimeouts())
	img := w.put(imagery.Image{State: imagery.Processed, ProcessedKey: "processed/k.png"})
	for query, location := range map[string]string{
		"":            w.link + "processed/k.png?as=",
		"?download=0": w.link + "processed/k.png?as=",
		"?download=1": w.link + "processed/k.png?as=" + img.ID + ".png",
	} {
		got := s.get("/image/" + img.ID + "/processed" + query)
		if got.StatusCode != 302 || got.Header.Get("Location") != location || got.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%q: %d %v", query, got.StatusCode, got.Header)
		}
	}
}

func TestPage(t *testing.T) {
	t.Parallel()
	s := start(t, newFakes(), testTimeouts(), func(o *Options) { o.ObjectOrigin = "https://bucket.example" })
	files := 0
	err := fs.WalkDir(web, "web", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		want, err := web.ReadFile(name)
		if err != nil {
			return err
		}
		path := strings.TrimPrefix(name, "web")
		if path == "/index.html" {
			path = "/"
		}
		got := s.get(path)
		h := got.Header
		if got.StatusCode != 200 || !bytes.Equal(got.body, want) || h.Get("Content-Type") == "" {
			t.Errorf("%s: %d, %d bytes, %v", path, got.StatusCode, len(got.body), h)
		}
		for name, want := range map[string]string{
			"Cache-Control":             "no-cache",
			"X-Content-Type-Options":    "nosniff",
			"Referrer-Policy":           "no-referrer",
			"Strict-Transport-Security": "",
			"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; " +
				"form-action 'self'; img-src 'self' blob: data: https://bucket.example; base-uri 'none'; " +
				"frame-ancestors 'none'",
		} {
			if h.Get(name) != want {
				t.Errorf("%s: %s: %s", path, name, h.Get(name))
			}
		}
		if again := s.get(path, "If-None-Match", h.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s with its ETag %s: %d", path, h.Get("ETag"), again.StatusCode)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("%d files: %v", files, err)
	}
	if got := s.get("/"); !strings.HasPrefix(got.Header.Get("Content-Type"), "text/html") {
		t.Errorf("/ is %s", got.Header.Get("Content-Type"))
	}
	if p := pagePolicy(""); !strings.Contains(p, "data:;") {
		t.Errorf("policy without a bucket: %s", p)
	}
}

// TestLogLines: each request has one log line, with the metrics that alarms and rollouts use.
func TestLogLines(t *testing.T) {
	t.Parallel()
	w := newFakes()
	b := shortTimeouts()
	s := start(t, w, b, func(o *Options) { o.Budget = blockSize })
	id := w.put(imagery.Image{}).ID
	full := s.srv.pool.newReservation(nil)
	if err := full.reserveBlock(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		name   string
		do     func() reply
		level  string
		has    map[string]float64
		hasNot []string
	}{
		{"read", func() reply { return s.get("/image/" + id) },
			"INFO", map[string]float64{"requests": 1, "server_errors": 0}, []string{"uploads", "planned_503"}},
		{"long poll", func() reply { return s.get("/image/" + id + "?wait=0s") },
			"INFO", nil, []string{"requests", "request_ms", "server_errors"}},
		{"health", func() reply { return s.get("/healthz") },
			"DEBUG", nil, []string{"requests", "request_ms", "server_errors"}},
		{"pool exhausted", func() reply { return s.upload(id, sized(jpegPhoto(1), 2*unpooledSize)) },
			"WARN", map[string]float64{"requests": 1, "server_errors": 0, "planned_503": 1}, []string{"uploads"}},
		{"upload", func() reply { full.release(); return s.upload(id, jpegPhoto(1)) },
			"INFO", map[string]float64{"requests": 1, "server_errors": 0, "uploads": 1}, nil},
		{"unknown route", func() reply { return s.get("/nothing") },
			"INFO", map[string]float64{"requests": 1, "server_errors": 0}, nil},
		{"lost result", func() reply {
			return s.get("/image/" + w.put(imagery.Image{State: imagery.Processed, ProcessedKey: "xxx"}).ID + "/processed")
		}, "INFO", map[string]float64{"requests": 1}, nil},
	} {
		requestID := test.do().Header.Get("X-Request-Id")
		var line map[string]any
		eventually(t, test.name+" is logged", func() bool {
			for l := range strings.Lines(s.log.String()) {
				if strings.Contains(l, requestID) {
					return json.Unmarshal([]byte(l), &line) == nil
				}
			}
			return false
		})
		if line["level"] != test.level || line["msg"] != "request" || line["trace"] == "" {
			t.Errorf("%s: %v", test.name, line)
		}
		for name, value := range test.has {
			if line[name] != value {
				t.Errorf("%s: %s is %v", test.name, name, line[name])
			}
		}
		for _, name := range test.hasNot {
			if _, ok := line[name]; ok {
				t.Errorf("%s: has %s", test.name, name)
			}
		}
		if strings.Count(s.log.String(), requestID) != 1 {
			t.Errorf("%s: not one line", test.name)
		}
	}
}
