package client

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// transport answers requests in the place of a server.
type transport func(*http.Request) *http.Response

func (f transport) RoundTrip(req *http.Request) (*http.Response, error) {
	res := f(req)
	if res == nil {
		return nil, errors.New("connection reset")
	}
	res.Request = req
	return res, nil
}

func response(status int, header, body string) *http.Response {
	rec := httptest.NewRecorder()
	if header != "" {
		rec.Header().Set("Retry-After", header)
	}
	rec.WriteHeader(status)
	rec.WriteString(body)
	return rec.Result()
}

// A request without an answer, or with 408, 429 or 5xx, is repeated; another refusal is an error with the service's
// reason.
func TestRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		attempts := 0
		statuses := []int{0, 503, 408, 429, 500, 404}
		c := New("http://service.example")
		c.HTTP = &http.Client{Transport: transport(func(*http.Request) *http.Response {
			attempts++
			if status := statuses[min(attempts, len(statuses))-1]; status != 0 {
				return response(status, "", `{"detail":"There is no such image.","requestId":"r-1"}`)
			}
			return nil
		})}
		if _, err := c.Get(t.Context(), "x"); err == nil || Status(err) != 0 || attempts != 1 {
			t.Errorf("without Retry: %d attempts, %v", attempts, err)
		}
		attempts, c.Retry = 0, time.Second
		_, err := c.Get(t.Context(), "x")
		const want = "GET /image/x answered 404 Not Found: There is no such image. (request r-1)"
		if attempts != len(statuses) || err == nil || err.Error() != want {
			t.Errorf("%d attempts, %v; want %s", attempts, err, want)
		}
		statuses = statuses[:2]
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := c.Get(ctx, "x"); !errors.Is(err, context.DeadlineExceeded) || Status(err) != 503 {
			t.Errorf("a service that is away for long: %v", err)
		}
	})
}

// The last poll ends with the deadline, and polls that are answered early are not repeated at once.
func TestWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var at []time.Time
		c := New("http://service.example")
		versions := 0
		c.Observe = func(img Image) { versions += int(img.Version) }
		c.HTTP = &http.Client{Transport: transport(func(*http.Request) *http.Response {
			at = append(at, time.Now())
			retryAfter := ""
			if len(at) == 2 {
				retryAfter = "5"
			}
			return response(200, retryAfter, `{"id":"x","version":1,"state":"uploaded"}`)
		})}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		img, err := c.Wait(ctx, Image{ID: "x", Version: 1, State: "uploaded"})
		if !errors.Is(err, context.DeadlineExceeded) || img.Version != 1 || time.Since(at[0]) != 10*time.Second {
			t.Errorf("%+v, %v after %s", img, err, time.Since(at[0]))
		}
		if first, second := at[1].Sub(at[0]), at[2].Sub(at[1]); first < time.Second || second < 5*time.Second {
			t.Errorf("polled again after %s, and after %s with Retry-After 5", first, second)
		}
		if versions != len(at) {
			t.Errorf("%d polls, %d images were observed", len(at), versions)
		}
	})
}

// A deadline that is nearer than the resolution of the wait parameter makes no loop of polls.
func TestWaitWithoutTimeLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Microsecond)
		defer cancel()
		polls := 0
		c := New("http://service.example")
		c.HTTP = &http.Client{Transport: transport(func(*http.Request) *http.Response {
			if polls++; polls == 10 {
				t.Error("10 polls in no time")
				cancel()
			}
			return response(200, "", `{"id":"x","version":1,"state":"uploaded"}`)
		})}
		if _, err := c.Wait(ctx, Image{ID: "x", Version: 1}); !errors.Is(err, context.DeadlineExceeded) || polls > 1 {
			t.Errorf("%d polls, %v", polls, err)
		}
	})
}

// Errors name the host of a result, and not its signed URL; an answer that is too long is an error.
func TestErrorsOfResults(t *testing.T) {
	c := New("http://service.example")
	c.HTTP = &http.Client{Transport: transport(func(req *http.Request) *http.Response {
		if strings.HasSuffix(req.URL.Path, "/processed") {
			res := response(302, "", "")
			res.Header.Set("Location", "http://bucket.example/key?X-Amz-Signature=secret")
			return res
		}
		return nil
	})}
	img := Image{ProcessedImage: "/image/x/processed"}
	if _, err := c.Result(t.Context(), img); err == nil || strings.Contains(err.Error(), "secret") ||
		!strings.Contains(err.Error(), "bucket.example") {
		t.Error(err)
	}
	c.MaxBody = 3
	c.HTTP = &http.Client{Transport: transport(func(*http.Request) *http.Response { return response(200, "", "1234") })}
	if _, err := c.Result(t.Context(), img); err == nil || !strings.Contains(err.Error(), "more than 3 bytes") {
		t.Error(err)
	}
}
