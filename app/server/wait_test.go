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

func TestWaitRefusals(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w, unhurried())
	id := w.put(imagery.Image{}).ID
	for _, query := range []string{"wait=", "wait=20", "wait=x", "wait=-1s", "wait=1s&version=-1", "wait=1s&version=x", "wait=1s&version=", "wait=1s&version=1.5"} {
		s.get("/image/"+id+"?"+query).refused(t, 400, "wait is a duration")
	}
	s.get("/image/"+imagery.NewID()+"?wait=1s").refused(t, 404, "")
	if w, err := parseWish(url.Values{"wait": {"1h"}}); err != nil || w.wait != 20*time.Second {
		t.Errorf("an hour counts as %s (%v)", w.wait, err)
	}
}

// TestWaitAtOnce: nothing to wait for.
func TestWaitAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w, unhurried())
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
		if got := s.get("/image/" + img.ID + "?" + test.query).image(t); got.Version != img.Version || got.State != img.State {
			t.Errorf("%s: %+v", test.query, got)
		}
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("took %s", took)
	}
}

// TestWaitTogether: all who wait for an image learn of its change, and cost four reads a second together.
func TestWaitTogether(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w, unhurried())
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
			if got := s.get("/image/" + img.ID + query).image(t); got.Version != 2 || got.State != imagery.Processed || got.ProcessedImage != "/image/"+img.ID+"/processed" {
				t.Errorf("%+v", got)
			}
		})
	}
	eventually(t, "all wait, and a few reads were made", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return s.waiting() == waiting && w.reads >= 4
	})
	img.State, img.Version, img.ProcessedKey = imagery.Processed, 2, "k"
	w.put(img)
	all.Wait()
	if most := int(time.Since(began)/readEvery) + 2; w.reads > most {
		t.Errorf("%d reads, at most %d were due", w.reads, most)
	}
	eventually(t, "nobody waits any more", func() bool { return s.waiting() == 0 && len(s.srv.waits.watches) == 0 })
}

func (s *running) waiting() int {
	s.srv.waits.mu.Lock()
	defer s.srv.waits.mu.Unlock()
	return s.srv.waits.waiting
}

// TestWaitSeesOwnWrites: an answer is never older than the request, though others wait for the image already.
func TestWaitSeesOwnWrites(t *testing.T) {
	t.Parallel()
	w := newWorld()
	w.lag = readEvery / 2 // so that a read is under way when a request comes
	s := start(t, w, unhurried())
	img := w.put(imagery.Image{State: imagery.Uploaded})
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	other, err := http.NewRequestWithContext(ctx, "GET", s.url+"/image/"+img.ID+"?wait=20s&version=0", nil)
	if err != nil {
		t.Fatal(err)
	}
	go func() { // keeps the watch alive as long as the version is 0
		if resp, err := client.Do(other); err == nil {
			resp.Body.Close()
		}
	}()
	eventually(t, "the other waits", func() bool { return s.waiting() == 1 })
	for v := int64(1); v <= 12; v++ {
		img.Version = v
		w.put(img)
		if got := s.get("/image/" + img.ID + "?wait=0s").image(t); got.Version != v {
			t.Errorf("version %d after the move to %d", got.Version, v)
		}
	}
}

// TestWaitTooMany: beyond 500 waiting requests the next one is answered at once.
func TestWaitTooMany(t *testing.T) {
	t.Parallel()
	w := newWorld()
	s := start(t, w, unhurried())
	ids := []string{w.put(imagery.Image{}).ID, w.put(imagery.Image{}).ID}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	for i := range maxWaiting {
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
	eventually(t, "500 wait", func() bool { return s.waiting() == maxWaiting })
	began := time.Now()
	got := s.get("/image/" + ids[0] + "?wait=20s")
	if got.StatusCode != 200 || got.Header.Get("Retry-After") != askAgain || time.Since(began) > 5*time.Second {
		t.Errorf("%d after %s, %v", got.StatusCode, time.Since(began), got.Header)
	}
	if got := s.get("/image/" + ids[0]); got.StatusCode != 200 || got.Header.Get("Retry-After") != "" {
		t.Errorf("without a wait: %d, %v", got.StatusCode, got.Header)
	}
	stop()
	eventually(t, "clients that went away do not wait", func() bool { return s.waiting() == 0 })
}

// The reader of an image ends with the last request that waits for it: a bubble does not end while one runs.
func TestReaderEndsWithTheLastRequest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		reads := 0
		ws := newWaits(func(context.Context, string) (imagery.Image, error) {
			reads++
			return imagery.Image{State: imagery.Uploaded}, nil
		}, nil, 10)
		var waiting sync.WaitGroup
		for _, d := range []time.Duration{time.Second, 3 * time.Second} {
			waiting.Go(func() { _, _, _ = ws.wait(t.Context(), "a", wish{d, -1}) })
		}
		waiting.Wait()
		synctest.Wait()
		before := reads
		if time.Sleep(3 * readEvery); reads != before || len(ws.watches) != 0 {
			t.Errorf("%d reads after the last request, %d images are watched", reads-before, len(ws.watches))
		}
	})
}
