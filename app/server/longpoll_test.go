package server

import (
	"context"
	"net/http"
	"net/url"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
	"testing/synctest"
)

func TestInvalidWaitParams(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	id := w.put(imagery.Image{}).ID
	for _, query := range []string{"wait=", "wait=20", "wait=x", "wait=-1s",
		"wait=1s&version=-1", "wait=1s&version=x", "wait=1s&version=", "wait=1s&version=1.5"} {
		s.get("/image/"+id+"?"+query).expectProblem(t, 400, "wait is a duration")
	}
	s.get("/image/"+imagery.NewID()+"?wait=1s").expectProblem(t, 404, "")
	if p, err := parseWaitParams(url.Values{"wait": {"1h"}}); err != nil || p.wait != 20*time.Second {
		t.Errorf("an hour counts as %s (%v)", p.wait, err)
	}
}

// TestLongPollReturnsAtOnce: the state is final, the version differs, or the wait is (almost) zero.
func TestLongPollReturnsAtOnce(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	began := time.Now()
	for _, test := range []struct {
		img   imagery.Image
		query string
	}{
		{imagery.Image{State: imagery.Processed, Version: 2, ProcessedKey: "k"}, "wait=20s&version=2"},
		{imagery.Image{State: imagery.Failed, Version: 2, Error: "why"}, "wait=20s"},
		{imagery.Image{State: imagery.Uploaded, Version: 1}, "wait=20s&version=0"},
		{imagery.Image{State: imagery.Uploaded, Version: 1}, "wait=20s&version=7"},
		{imagery.Image{State: imagery.Uploaded, Version: 1}, "wait=0s"},
		{imagery.Image{State: imagery.Uploaded, Version: 1}, "wait=50ms&version=1"},
	} {
		img := w.put(test.img)
		got := s.get("/image/" + img.ID + "?" + test.query).image(t)
		if got.Version != img.Version || got.State != img.State {
			t.Errorf("%s: %+v", test.query, got)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// TestLongPollsShareReads: all requests that wait for an image get its change, and together cause four reads a second.
func TestLongPollsShareReads(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	img := w.put(imagery.Image{State: imagery.Uploaded, Version: 1})
	const waiting = 60
	began := time.Now()
	var all sync.WaitGroup
	for i := range waiting {
		query := "?wait=20s"
		if i%2 == 0 {
			query += "&version=1"
		}
		all.Go(func() {
			got := s.get("/image/" + img.ID + query).image(t)
			if got.Version != 2 || got.State != imagery.Processed || got.ProcessedImage != "/image/"+img.ID+"/processed" {
				t.Errorf("%+v", got)
			}
		})
	}
	eventually(t, "all requests wait, and a few reads were made", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return s.waiting() == waiting && w.reads >= 4
	})
	img.State, img.Version, img.ProcessedKey = imagery.Processed, 2, "k"
	w.put(img)
	all.Wait()
	if most := int(time.Since(began)/pollInterval) + 2; w.reads > most {
		t.Errorf("%d reads, want at most %d", w.reads, most)
	}
	eventually(t, "no request waits", func() bool { return s.waiting() == 0 && len(s.srv.longPoller.watches) == 0 })
}

func (s *testServer) waiting() int {
	s.srv.longPoller.mu.Lock()
	defer s.srv.longPoller.mu.Unlock()
	return s.srv.longPoller.waiting
}

// TestLongPollSeesOwnWrites: a response is never older than its request, even if others wait for the image already.
func TestLongPollSeesOwnWrites(t *testing.T) {
	t.Parallel()
	w := newFakes()
	w.lag = pollInterval / 2 // so that a read is under way when a request comes
	s := start(t, w, testTimeouts())
	img := w.put(imagery.Image{State: imagery.Uploaded})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	other, err := http.NewRequestWithContext(ctx, "GET", s.url+"/image/"+img.ID+"?wait=20s&version=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // keeps the watch alive while the version is 0
		if resp, err := client.Do(other); err == nil {
			resp.Body.Close()
		}
	}()
	eventually(t, "the other request waits", func() bool { return s.waiting() == 1 })
	for v := int64(1); v <= 12; v++ {
		img.Version = v
		w.put(img)
		if got := s.get("/image/" + img.ID + "?wait=0s").image(t); got.Version != v {
			t.Errorf("version %d after a change to %d", got.Version, v)
		}
	}
}

// TestLongPollLimit: while 500 requests wait, the next one is answered at once.
func TestLongPollLimit(t *testing.T) {
	t.Parallel()
	w := newFakes()
	s := start(t, w, testTimeouts())
	ids := []string{w.put(imagery.Image{}).ID, w.put(imagery.Image{}).ID}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range maxLongPolls {
		r, err := http.NewRequestWithContext(ctx, "GET", s.url+"/image/"+ids[i%2]+"?wait=20s", nil)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			if resp, err := client.Do(r); err == nil {
				resp.Body.Close()
			}
		}()
	}
	eventually(t, "500 requests wait", func() bool { return s.waiting() == maxLongPolls })
	began := time.Now()
	got := s.get("/image/" + ids[0] + "?wait=20s")
	if got.StatusCode != 200 || got.Header.Get("Retry-After") != longPollRetryAfter || time.Since(began) > 5*time.Second {
		t.Errorf("%d after %s, %v", got.StatusCode, time.Since(began), got.Header)
	}
	if got := s.get("/image/" + ids[0]); got.StatusCode != 200 || got.Header.Get("Retry-After") != "" {
		t.Errorf("without a wait: %d, %v", got.StatusCode, got.Header)
	}
	stop()
	eventually(t, "requests of clients that went away do not wait", func() bool { return s.waiting() == 0 })
}

// TestPollEndsWithLastRequest: reads of an image end with the last request that waits for it. synctest fails while a
// goroutine of the test is running.
func TestPollEndsWithLastRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		lp := longPoller{limit: 10, watches: map[string]*watch{}}
		lp.read = func(context.Context, string) (imagery.Image, error) {
			reads++
			return imagery.Image{State: imagery.Uploaded}, nil
		}
		var waiting sync.WaitGroup
		for _, d := range []time.Duration{time.Second, 3 * time.Second} {
			waiting.Go(func() { _, _, _ = lp.wait(t.Context(), "a", waitParams{d, -1}) })
		}
		waiting.Wait()
		synctest.Wait()
		before := reads
		if time.Sleep(3 * pollInterval); reads != before || len(lp.watches) != 0 {
			t.Errorf("%d reads after the last request, %d images are watched", reads-before, len(lp.watches))
		}
	})
}
