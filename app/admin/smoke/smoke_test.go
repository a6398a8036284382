package smoke

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/png"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/client"
)

func TestServiceThatWorks(t *testing.T) {
	s, url := serve(t)
	var log []string
	report, err := Run(t.Context(), Options{URL: url + "/", Release: strings.ToUpper(running), Log: func(l string) { log = append(log, l) }})
	if err != nil || !report.OK || report.Unreachable || len(report.Images) != 2 || report.Releases[running] != versionAnswers {
		t.Fatalf("%+v, %v", report, err)
	}
	var names []string
	for i, step := range report.Steps {
		if names = append(names, step.Name); log[i] != step.String() || step.Error != "" {
			t.Errorf("step %+v was logged as %q", step, log[i])
		}
	}
	want := []string{"answers", "page", "version", "lake create", "lake upload", "lake process", "lake result", "lake compare",
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

// filtered changes the pixels of every result.
func filtered(t *testing.T, change func(m draw.Image)) func(string) []byte {
	return func(name string) []byte {
		decode := decodePNG
		if name == phone.name {
			decode = decodeJPEG
		}
		was, err := decode(right(t, name))
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

// Each thing that can be wrong is seen, where it is wrong, and repeated by nobody.
func TestServiceThatIsBroken(t *testing.T) {
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
		"no page":          {at: "GET /", with: status(200, "{}"), want: []string{"page: GET / answered", "not a page"}},
		"page is gone":     {at: "GET /", with: status(404, ""), want: []string{"page: GET / answered 404 Not Found"}},
		"no release":       {at: "GET /version", with: status(200, "v1"), want: []string{"version: GET /version did not answer a SHA-256"}},
		"another release":  {release: strings.Repeat("ff", 32), want: []string{"version: 8 of 8 answers came from another release than ffffffffffff: 0a0a0a0a0a0a x8"}},
		"no create":        {at: "POST /image", with: problem, want: []string{"lake create: POST /image answered 503 Service Unavailable: No room at the moment. (request r-1)", "phone create"}},
		"other create":     {at: "POST /image", with: status(201, "[]"), want: []string{"lake create: POST /image answered no image"}},
		"no upload":        {at: "POST /image/ID/upload", with: problem, want: []string{"lake upload: POST /image/0/upload answered 503", "phone upload: POST /image/1/upload"}},
		"failed":           {at: "GET /image/ID", with: status(200, `{"id":"0","version":2,"state":"failed","error":"It is \u001b[31mbroken."}`), want: []string{"lake process: the image failed: It is  [31mbroken."}},
		"strange result":   {at: "GET /image/ID", with: status(200, `{"id":"0","version":2,"state":"processed","processedImage":"//elsewhere"}`), want: []string{`lake result: the image names "//elsewhere" as its result`}},
		"forbidden bucket": {at: "bucket GET /lake.png", with: status(403, "<Error><Code>AccessDenied</Code><Message>Access Denied</Message><AWSAccessKeyId>AKIA</AWSAccessKeyId></Error>"), want: []string{"lake result: GET /image/0/processed answered 403 Forbidden: AccessDenied: Access Denied"}},
		"no bucket": {at: "GET /image/ID/processed", with: func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/lake.png?X-Amz-Signature=5ecret", http.StatusFound)
		}, want: []string{"lake result: GET /image/0/processed: 127.0.0.1:1: dial tcp"}},
		"empty bucket": {result: func(string) []byte { return nil }, want: []string{"lake compare: decode the result", "phone compare: decode"}},
		"no filter":    {result: original, want: []string{"lake compare: 3072 pixels, differences", "phone compare: the result is (96,72) large, not (72,96)"}},
		"upright, no filter": {result: func(name string) []byte {
			if name == lake.name {
				return right(t, name)
			}
			return encode(t, standing(t))
		}, want: []string{"phone compare: 6912 pixels"}},
		"a little too bright": {result: filtered(t, func(m draw.Image) {
			for i := range m.Bounds().Dx() * m.Bounds().Dy() {
				x, y := i%m.Bounds().Dx(), i/m.Bounds().Dx()
				c := color.NRGBAModel.Convert(m.At(x, y)).(color.NRGBA)
				m.Set(x, y, color.NRGBA{min(c.R, 249) + 6, min(c.G, 249) + 6, min(c.B, 249) + 6, c.A})
			}
		}), want: []string{"lake compare", "phone compare"}},
		"one level off": {result: filtered(t, func(m draw.Image) {
			c := m.At(63, 47).(color.NRGBA)
			c.B ^= 1
			m.Set(63, 47, c)
		}), want: []string{"lake compare: 3072 pixels, differences: mean 0.0, worst 1; at most 0.0 and 0 are right"}},
		"a dark half": {result: filtered(t, func(m draw.Image) { draw.Draw(m, image.Rect(0, 0, 20, 96), image.Black, image.Point{}, draw.Src) }),
			want: []string{"lake compare", "phone compare: 6912 pixels"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, url := serve(t)
			if c.with != nil {
				s.replace[c.at] = c.with
			}
			if c.result != nil {
				s.result = c.result
			}
			// Time is given, and must not be taken: this is not what it is for.
			report, err := Run(t.Context(), Options{URL: url, Wait: time.Minute, Release: c.release})
			if err == nil || report.OK || report.Unreachable {
				t.Fatalf("%+v, %v", report, err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q is missing in\n%v", w, err)
				}
			}
			if strings.Contains(err.Error(), "5ecret") || strings.Contains(err.Error(), "AKIA") || strings.Contains(err.Error(), "\x1b") {
				t.Errorf("it says too much: %v", err)
			}
			n := 0
			for _, asked := range s.asked {
				if asked == c.at {
					n++
				}
			}
			if c.at != "" && n > 2 && c.at != "GET /version" {
				t.Errorf("%s was repeated: %d times", c.at, n)
			}
		})
	}
}

// The photo of a service that is slow is waited for, with a limit.
func TestServiceThatIsSlow(t *testing.T) {
	for _, changes := range []int{7, 1 << 30} {
		synctest.Test(t, func(t *testing.T) {
			asked := 0
			h := &http.Client{Transport: round(func(req *http.Request) (*http.Response, error) {
				asked++
				if wait, err := time.ParseDuration(req.URL.Query().Get("wait")); err != nil || wait > 20*time.Second {
					t.Errorf("asked %s", req.URL)
				} else if asked%2 == 1 { // every other time it answers at once, as a server that is full
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
			if changes > 100 && (err == nil || !strings.Contains(err.Error(), "still uploaded after 2m0s") || took > processTimeout+10*time.Second || asked > 200) {
				t.Errorf("%d requests in %s, %v", asked, took, err)
			}
		})
	}
}

type round func(*http.Request) (*http.Response, error)

func (f round) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := f(r)
	if res != nil {
		res.Request = r
	}
	return res, err
}

func reply(code int, body string) *http.Response {
	return &http.Response{StatusCode: code, Header: http.Header{}, Body: readCloser{strings.NewReader(body)}}
}

type readCloser struct{ *strings.Reader }

func (readCloser) Close() error { return nil }

var (
	unresolved = &net.DNSError{Err: "no such host", Name: "service.example", IsNotFound: true}
	dropped    = &net.OpError{Op: "dial", Net: "tcp", Err: os.ErrDeadlineExceeded}
	nobody     = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	silent     = &net.OpError{Op: "read", Net: "tcp", Err: os.ErrDeadlineExceeded}
)

// What time may heal is waited for as long as allowed, and the reason is named; the rest is said at once.
func TestReach(t *testing.T) {
	for name, c := range map[string]struct {
		err    error // of every attempt until healed
		other  error // after the first attempt, and every third one from there
		name   int   // so many first attempts find no name
		status int
		wait   time.Duration
		healed time.Duration // 0: never
		closed bool
		want   string
		least  time.Duration
		most   time.Duration
	}{
		"name that comes":    {err: unresolved, wait: 5 * time.Minute, healed: 2 * time.Minute, least: 2 * time.Minute, most: 2*time.Minute + 2*reachPause},
		"name that does not": {err: unresolved, wait: 5 * time.Minute, want: "the name service.example does not resolve (yet)", least: 4 * time.Minute, most: 5 * time.Minute},
		"no time":            {err: unresolved, want: "does not resolve (yet)"},
		"door":               {err: dropped, wait: 5 * time.Minute, closed: true, want: "is this machine in allowedCidrs?", least: closedAfter, most: closedAfter + 20*time.Second},
		"door, no time":      {err: dropped, closed: true, want: "connection timed out"},
		"door that opens":    {err: dropped, wait: 5 * time.Minute, healed: 40 * time.Second, least: 40 * time.Second, most: time.Minute},
		"door that moves":    {err: dropped, other: nobody, wait: 5 * time.Minute, want: "nobody listens at the address", least: 4 * time.Minute, most: 5 * time.Minute},
		"name, then door":    {err: dropped, name: 2, wait: 5 * time.Minute, closed: true, want: "allowedCidrs", least: closedAfter, most: closedAfter + 30*time.Second},
		"nobody":             {err: nobody, wait: time.Minute, want: "nobody listens", least: 50 * time.Second, most: time.Minute},
		"no answer":          {err: silent, wait: time.Minute, want: "i/o timeout", least: 50 * time.Second, most: time.Minute},
		"no server":          {status: 503, wait: 5 * time.Minute, healed: time.Minute, least: time.Minute, most: time.Minute + 2*reachPause},
		"other site":         {status: 404, wait: 5 * time.Minute, want: "no imagery, or a broken one: GET /healthz answered 404"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				began, attempts := time.Now(), 0
				h := &http.Client{Transport: round(func(req *http.Request) (*http.Response, error) {
					attempts++
					switch {
					case c.healed > 0 && time.Since(began) >= c.healed:
						return reply(200, ""), nil
					case attempts <= c.name:
						return nil, unresolved
					case c.other != nil && attempts%3 == 2:
						return nil, c.other
					case c.err != nil:
						if c.err == dropped {
							time.Sleep(dialTimeout)
						}
						return nil, c.err
					}
					return reply(c.status, ""), nil
				})}
				var log []string
				base, _ := address("http://service.example")
				r := &run{Options: Options{Wait: c.wait, Log: func(l string) { log = append(log, l) }}, base: base, api: newClient(base.String(), h)}
				_, err := r.reach(t.Context())
				took := time.Since(began)
				if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) || errors.Is(err, ErrUnreachable) != c.closed {
					t.Errorf("%v, want %q", err, c.want)
				}
				if took < c.least || c.most > 0 && took > c.most || c.most == 0 && took > dialTimeout {
					t.Errorf("took %s, want %s to %s", took, c.least, c.most)
				}
				if waited := c.most > 0; waited != (len(log) == 1) && c.other == nil && c.name == 0 {
					t.Errorf("it said %q", log)
				}
			})
		})
	}
}

// A person may stop it at any time.
func TestInterrupt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		client := &http.Client{Transport: round(func(*http.Request) (*http.Response, error) { return nil, unresolved })}
		report, err := Run(ctx, Options{URL: "http://service.example", Wait: time.Hour, Client: client})
		if !errors.Is(err, context.DeadlineExceeded) || report.Unreachable || time.Duration(report.Took) != time.Minute {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// A door that drops packets is a report that says so; nothing else is tried behind it.
func TestClosedDoorIsReported(t *testing.T) {
	client := &http.Client{Transport: round(func(*http.Request) (*http.Response, error) { return nil, dropped })}
	report, err := Run(t.Context(), Options{URL: "http://user:pass@service.example", Client: client})
	if !errors.Is(err, ErrUnreachable) || !report.Unreachable || report.OK || len(report.Steps) != 1 || strings.Contains(fmt.Sprint(report, err), "pass@") {
		t.Errorf("%+v, %v", report, err)
	}
}

func TestAddresses(t *testing.T) {
	for _, bad := range []string{"", "localhost:8080", "ftp://x", "http://", "http://x?y=1", "http://x#y", "http://a b"} {
		if report, err := Run(t.Context(), Options{URL: bad}); err == nil || len(report.Steps) > 0 {
			t.Errorf("%q: %+v, %v", bad, report, err)
		}
	}
	if report, err := Run(t.Context(), Options{URL: "http://127.0.0.1:1", Release: "v1"}); err == nil || len(report.Steps) > 0 {
		t.Errorf("%+v, %v", report, err)
	}
	if _, err := address("ftp://user:pass@x"); err == nil || strings.Contains(err.Error(), "pass@") {
		t.Error(err)
	}
}
