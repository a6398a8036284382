package smoke

import (
	"bytes"
	"encoding/json"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/client"
)

func TestHealthyService(t *testing.T) {
	s, url := serve(t)
	var log []string
	options := Options{URL: url + "/", Release: strings.ToUpper(running), Log: func(l string) { log = append(log, l) }}
	report, err := Run(t.Context(), options)
	if err != nil || !report.OK || report.Unreachable ||
		len(report.Images) != 2 || report.Releases[running] != versionRequests {
		t.Fatalf("%+v, %v", report, err)
	}
	var names []string
	for i, step := range report.Steps {
		if names = append(names, step.Name); log[i] != step.String() || step.Error != "" {
			t.Errorf("step %+v was logged as %q", step, log[i])
		}
	}
	want := []string{"answers", "page", "version",
		"lake create", "lake upload", "lake process", "lake result", "lake compare",
		"phone create", "phone upload", "phone process", "phone result", "phone compare"}
	if !slices.Equal(names, want) {
		t.Errorf("steps %q, want %q", names, want)
	}
	if strings.Contains(strings.Join(log, ""), "5ecret") || !slices.Contains(s.asked, "bucket GET /lake.png") {
		t.Errorf("%q of %q", log, s.asked)
	}
	document, err := json.Marshal(report)
	if err != nil || !strings.Contains(string(document), `"milliseconds":`) {
		t.Errorf("%s, %v", document, err)
	}
}

func status(code int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); fmt.Fprint(w, body) }
}

// changed returns results whose pixels were changed.
func changed(t *testing.T, change func(m draw.Image)) func(string) []byte {
	return func(name string) []byte {
		decode := png.Decode
		if name == phone.name {
			decode = jpeg.Decode
		}
		was, err := decode(bytes.NewReader(correct(t, name)))
		if err != nil {
			t.Error(err)
			return nil
		}
		m := image.NewNRGBA(was.Bounds())
		for y := range m.Rect.Dy() {
			for x := range m.Rect.Dx() {
				m.Set(x, y, was.At(x, y))
			}
		}
		change(m)
		if name == phone.name {
			return encode(t, m)
		}
		var b bytes.Buffer
		if err := png.Encode(&b, m); err != nil {
			t.Error(err)
		}
		return b.Bytes()
	}
}

// TestBrokenService: each fault is reported by the right step, and no request is retried.
func TestBrokenService(t *testing.T) {
	original := func(name string) []byte {
		data, err := pictures.ReadFile("pictures/" + name)
		if err != nil {
			t.Error(err)
		}
		return data
	}
	problem := status(http.StatusServiceUnavailable, `{"detail":"No room at the moment.","requestId":"r-1"}`)
	for name, c := range map[string]struct {
		at      string
		with    http.HandlerFunc
		result  func(string) []byte
		release string
		want    []string
	}{
		"no page": {at: "GET /", with: status(200, "{}"), want: []string{"page: GET / answered", "not a page"}},
		"page is missing": {at: "GET /", with: status(404, ""),
			want: []string{"page: GET / answered 404 Not Found"}},
		"no release": {at: "GET /version", with: status(200, "v1"),
			want: []string{"version: GET /version did not answer a SHA-256"}},
		"another release": {release: strings.Repeat("ff", 32),
			want: []string{"version: 8 of 8 answers came from another release than ffffffffffff: 0a0a0a0a0a0a x8"}},
		"create fails": {at: "POST /image", with: problem, want: []string{
			"lake create: POST /image answered 503 Service Unavailable: No room at the moment. (request r-1)", "phone create"}},
		"create without image": {at: "POST /image", with: status(201, "[]"),
			want: []string{"lake create: POST /image answered no image"}},
		"upload fails": {at: "POST /image/ID/upload", with: problem,
			want: []string{"lake upload: POST /image/0/upload answered 503", "phone upload: POST /image/1/upload"}},
		"processing fails": {at: "GET /image/ID",
			with: status(200, `{"id":"0","version":2,"state":"failed","error":"It is \u001b[31mbroken."}`),
			want: []string{"lake process: the image failed: It is  [31mbroken."}},
		"unexpected result": {at: "GET /image/ID",
			with: status(200, `{"id":"0","version":2,"state":"processed","processedImage":"//elsewhere"}`),
			want: []string{`lake result: the image names "//elsewhere" as its result`}},
		"bucket denies access": {at: "bucket GET /lake.png",
			with: status(403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message>"+
				"<AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>"),
			want: []string{"lake result: GET /image/0/processed answered 403 Forbidden: AccessDenied: Access Denied"}},
		"no bucket": {at: "GET /image/ID/processed", with: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/lake.png?X-Amz-Signature=5ecret", http.StatusFound)
		}, want: []string{"lake result: GET /image/0/processed: 127.0.0.1:1: dial tcp"}},
		"empty results": {result: func(string) []byte { return nil },
			want: []string{"lake compare: decode the result", "phone compare: decode"}},
		"no filter": {result: original, want: []string{"lake compare: 3072 pixels, differences",
			"phone compare: the result is (96,72) large, not (72,96)"}},
		"upright, no filter": {result: func(name string) []byte {
			if name == lake.name {
				return correct(t, name)
			}
			return encode(t, standing(t))
		}, want: []string{"phone compare: 6912 pixels"}},
		"a little too bright": {result: changed(t, func(m draw.Image) {
			for i := range m.Bounds().Dx() * m.Bounds().Dy() {
				x, y := i%m.Bounds().Dx(), i/m.Bounds().Dx()
				c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
				m.Set(x, y, color.NRGBA{min(c.R, 249) + 6, min(c.G, 249) + 6, min(c.B, 249) + 6, c.A})
			}
		}), want: []string{"lake compare", "phone compare"}},
		"one level off": {result: changed(t, func(m draw.Image) {
			c := m.At(63, 47).(color.NRGBA)
			c.B ^= 1
			m.Set(63, 47, c)
		}), want: []string{"lake compare: 3072 pixels, differences: mean 0.0, worst 1; at most 0.0 and 0 are allowed"}},
		"a dark half": {result: changed(t, func(m draw.Image) {
			draw.Draw(m, image.Rect(0, 0, 20, 96), image.Black, image.Point{}, draw.Src)
		}), want: []string{"lake compare", "phone compare: 6912 pixels"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, url := serve(t)
			if c.with != nil {
				s.replace[c.at] = c.with
			}
			if c.result != nil {
				s.result = c.result
			}
			// Wait must have no effect here, since it is for the first request only.
			report, err := Run(t.Context(), Options{URL: url, Wait: time.Minute, Release: c.release})
			if err == nil || report.OK || report.Unreachable {
				t.Fatalf("%+v, %v", report, err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is missing in\n%v", w, err)
				}
			}
			for _, secret := range []string{"5ecret", "AKIA", "\x1b"} {
				if strings.Contains(err.Error(), secret) {
					t.Errorf("the error contains %q: %v", secret, err)
				}
			}
			n := 0
			for _, asked := range s.asked {
				if asked == c.at {
					n++
				}
			}
			if c.at != "" && n > 2 && c.at != "GET /version" {
				t.Errorf("%s was requested %d times", c.at, n)
			}
		})
	}
}

// TestSlowService: Run waits for a slow photo, up to processTimeout.
func TestSlowService(t *testing.T) {
	for _, changes := range []int{7, 1 << 30} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			h := &http.Client{Transport: roundTripper(func(req *http.Request) (*http.Response, error) {
				asked++
				if wait, err := time.ParseDuration(req.URL.Query().Get("wait")); err != nil || wait > 20*time.Second {
					t.Errorf("asked %s", req.URL)
				} else if asked%2 == 1 { // every other request is answered at once, as by a server at its limit of long polls
					time.Sleep(wait)
				}
				state := "uploaded"
				if asked >= changes {
					state = "processed"
				}
				return reply(200, `{"id":"0","version":1,"state":"`+state+`"}`), nil
			})}
			r := &run{api: newClient("http://service.example", h)}
			began := time.Now()
			_, err := r.wait(t.Context(), &client.Image{ID: "0", Version: 1, State: "uploaded"})
			took := time.Since(began)
			if changes < 100 && (err != nil || asked != changes) {
				t.Errorf("%d requests, %v", asked, err)
			}
			if changes > 100 && (err == nil || !strings.Contains(err.Error(), "still uploaded after 2m0s") ||
				took > processTimeout+10*time.Second || asked > 200) {
				t.Errorf("%d requests in %s, %v", asked, took, err)
			}
		})
	}
}
