package worker_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/worker"
)

// serve starts a worker with a real listener, and returns its URL.
func (w *world) serve(t testing.TB, consume bool) (url string) {
	t.Helper()
	return w.serveQueue(t, consume, w.queue)
}

func (w *world) serveQueue(t testing.TB, consume bool, q imagery.Queue) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	o := w.options()
	o.Queue, o.Consume = q, consume
	go func() { ended <- worker.New(o).Run(ctx, l) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return "http://" + l.Addr().String()
}

// post sends a message as the Elastic Beanstalk daemon does.
func post(t testing.TB, url, body, receives string) int {
	t.Helper()
	req, err := http.NewRequest(http.MethodPost, url+"/sqs", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("User-Agent", "aws-sqsd/3.0.4")
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Aws-Sqsd-Msgid", "b3e2b0a0")
	req.Header.Set("X-Aws-Sqsd-Queue", "images")
	req.Header.Set("X-Aws-Sqsd-First-Received-At", "2026-01-02T03:04:05Z")
	req.Header.Set("X-Aws-Sqsd-Attr-Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
	if receives != "" {
		req.Header.Set("X-Aws-Sqsd-Receive-Count", receives)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	data, err := io.ReadAll(res.Body)
	if err != nil || !json.Valid(data) {
		t.Fatalf("POST /sqs %q: %d %q, %v", body, res.StatusCode, data, err)
	}
	return res.StatusCode
}

func hint(img imagery.Image) string {
	b, _ := json.Marshal(imagery.Hint{ImageID: img.ID, DesiredState: imagery.Processed, RawKey: img.RawKey})
	return string(b)
}

func TestSQSRoute(t *testing.T) {
	w := newWorld()
	w.filter.takes = 0
	url := w.serve(t, false)
	id := w.upload(t, "photo")
	img, _ := w.Get(t.Context(), id)
	created, _, err := w.Create(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, body string
		want       int
	}{
		{"done", hint(img), 200},
		{"done before", hint(img), 200},
		{"without a key, as the original application sends it", `{"imageId":"` + id + `","desiredState":"processed"}`, 200},
		{"created only", hint(created), 200},
		{"unknown", `{"imageId":"` + imagery.NewID() + `","desiredState":"processed"}`, 200},
		{"not JSON", `photo!`, 400},
		{"empty", ``, 400},
		{"no UUID", `{"imageId":"7","desiredState":"processed"}`, 400},
		{"another state", `{"imageId":"` + id + `","desiredState":"resized"}`, 400},
		{"no state", `{"imageId":"` + id + `"}`, 400},
		{"too large", strings.Repeat(" ", 2<<20), 400},
	} {
		if got := post(t, url, c.body, "1"); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	if w.state(t, id) != imagery.Processed {
		t.Error("the image was not processed")
	}
	if w.queue.Receipts != 0 {
		t.Error("a worker with -consume=false received from the queue")
	}
}

// TestErrorResponses: errors are problem documents, and every response has a request id.
func TestErrorResponses(t *testing.T) {
	url := newWorld().serve(t, false)
	for _, c := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/nothing", 404}, {"GET", "/sqs", 405}, {"POST", "/healthz", 405}, {"POST", "/sqs", 400},
		{"GET", "/healthz", 200},
	} {
		req, err := http.NewRequest(c.method, url+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		var p struct {
			Type, Title, Detail, RequestID string
			Status                         int
		}
		err = json.NewDecoder(res.Body).Decode(&p)
		res.Body.Close()
		if res.StatusCode != c.want || res.Header.Get("X-Request-Id") == "" {
			t.Errorf("%s %s: %d %v", c.method, c.path, res.StatusCode, res.Header)
		}
		id, contentType := res.Header.Get("X-Request-Id"), res.Header.Get("Content-Type")
		if c.want >= 400 && (err != nil || p.Status != c.want || p.Title == "" || p.Detail == "" || p.RequestID != id ||
			contentType != "application/problem+json") {
			t.Errorf("%s %s: %+v, %v", c.method, c.path, p, err)
		}
		if c.want == 405 && res.Header.Get("Allow") == "" {
			t.Errorf("%s %s: no Allow", c.method, c.path)
		}
	}
}

// TestForgedDeliveryFailsNoPhoto: a forged receive count may delay a photo, but never fail it.
func TestForgedDeliveryFailsNoPhoto(t *testing.T) {
	w := newWorld()
	w.filter.takes = 0
	w.filter.on = func([]byte) error { return errors.New("transient error") }
	url := w.serve(t, false)
	img, _ := w.Get(t.Context(), w.upload(t, "photo"))
	for _, receives := range []string{"", "1", "4", "5", "999", "nonsense"} {
		if got := post(t, url, hint(img), receives); got != 503 || w.state(t, img.ID) != imagery.Uploaded {
			t.Errorf("receive %q: %d, image %s", receives, got, w.state(t, img.ID))
		}
	}
}

// TestDeadLetterOfTheDaemonFailsItsImage: a dead letter fails its image also when the daemon receives the messages.
func TestDeadLetterOfTheDaemonFailsItsImage(t *testing.T) {
	w := newWorld()
	img, _ := w.Get(t.Context(), w.upload(t, "photo"))
	if err := w.Service.DeadLetters.Send(t.Context(), []byte(hint(img)), ""); err != nil {
		t.Fatal(err)
	}
	w.serve(t, false)
	defer func() {
		if got, _ := w.Get(t.Context(), img.ID); !strings.Contains(got.Error, "in 5 attempts") {
			t.Errorf("the image says %q", got.Error)
		}
	}()
	deadline := time.Now().Add(10 * time.Second)
	for ; w.state(t, img.ID) != imagery.Failed; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the image of a dead letter is %s", w.state(t, img.ID))
		}
	}
}

func TestOnlyTheDaemonMayPost(t *testing.T) {
	w := newWorld()
	url := w.serve(t, false)
	for _, c := range []struct {
		name, value string
		want        int
	}{
		{"X-Forwarded-For", "127.0.0.1", 400}, {"X-Forwarded-For", "203.0.113.9, ::1", 400},
		{"X-Forwarded-For", "203.0.113.9", 403}, {"X-Forwarded-For", "127.0.0.1, 203.0.113.9", 403},
		{"X-Forwarded-For", "unknown", 403}, {"Sec-Fetch-Site", "cross-site", 403},
		{"Sec-Fetch-Site", "same-site", 403}, {"Sec-Fetch-Site", "none", 400}, {"User-Agent", "curl", 400},
		{"Sec-Fetch-Site", "same-origin", 403}, {"Origin", "http://localhost", 403}, {"X-Forwarded-For", "", 403},
		{"X-Forwarded-For", "127.0.0.1,", 403}, {"Forwarded", "for=127.0.0.1", 403},
		{"Host", "rebound.example", 403}, {"Host", "localhost", 400}, {"Host", "[::1]:8080", 400},
	} {
		req, err := http.NewRequest(http.MethodPost, url+"/sqs", strings.NewReader("not a hint"))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set(c.name, c.value)
		if c.name == "Host" {
			req.Host = c.value
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != c.want {
			t.Errorf("%s: %s: %d, want %d", c.name, c.value, res.StatusCode, c.want)
		}
	}
}

func TestReadyOnlyAfterAReceive(t *testing.T) {
	w := newWorld()
	q := &closedQueue{Queue: w.queue}
	q.down.Store(true)
	url := w.serveQueue(t, true, q)
	for range 20 {
		if got := status(t, url+"/readyz"); got != 503 {
			t.Fatalf("ready before the first receive: %d", got)
		}
	}
	q.down.Store(false)
	for deadline := time.Now().Add(10 * time.Second); status(t, url+"/readyz") != 200; {
		if time.Now().After(deadline) {
			t.Fatal("not ready after the first receive")
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// closedQueue is a queue whose Receive fails while down is set.
type closedQueue struct {
	imagery.Queue
	down atomic.Bool
}

func (q *closedQueue) Receive(ctx context.Context, n int, wait time.Duration) ([]imagery.Message, error) {
	if q.down.Load() {
		return nil, errors.New("unavailable")
	}
	return q.Queue.Receive(ctx, n, wait)
}

func TestHealthRoutes(t *testing.T) {
	w := newWorld()
	url := w.serve(t, true)
	want := map[string]string{"/": "{}\n", "/healthz": "ok\n", "/version": strings.Repeat("ab", 32) + "\n"}
	for path, want := range want {
		res, err := http.Get(url + path)
		if err != nil {
			t.Fatal(err)
		}
		data, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || string(data) != want {
			t.Errorf("GET %s: %d %q", path, res.StatusCode, data)
		}
	}
}

func status(t *testing.T, url string) int {
	t.Helper()
	res, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}
