package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
)

// fakeService processes a photo a minute after its upload, according to the table, and refuses every third upload.
type fakeService struct {
	imagery.Catalog

	mu      sync.Mutex
	uploads int
	items   map[string]imagery.Image
	reading int // uploads that have not been read to their end
	most    int
}

func (a *fakeService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/image":
		w.WriteHeader(http.StatusCreated)
		_, _ = io.Copy(w, r.Body) // an image with the id of the request
	case path.Base(r.URL.Path) == "upload":
		a.mu.Lock()
		a.reading++
		a.most = max(a.most, a.reading)
		a.mu.Unlock()
		_, _ = io.Copy(io.Discard, r.Body) // an incomplete upload is answered, too
		a.mu.Lock()
		defer a.mu.Unlock()
		a.reading--
		if a.uploads++; a.uploads%3 == 0 {
			http.Error(w, "Too many uploads at once", http.StatusServiceUnavailable)
			return
		}
		id := strings.Split(r.URL.Path, "/")[2]
		a.items[id] = imagery.Image{ID: id, State: imagery.Processed, Updated: time.Now().Add(time.Minute)}
		w.WriteHeader(http.StatusAccepted)
		fmt.Fprintf(w, `{"id":%q,"version":1,"state":"uploaded"}`, id)
	default:
		img, err := a.Get(r.Context(), path.Base(r.URL.Path))
		if err != nil || r.URL.RawQuery != "wait=20s&version=1" {
			http.NotFound(w, r)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"id": img.ID, "state": img.State})
	}
}

func (a *fakeService) Get(_ context.Context, id string) (imagery.Image, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if img, ok := a.items[id]; ok {
		return img, nil
	}
	return imagery.Image{}, imagery.ErrNotFound
}

func newFakeService(t *testing.T) (*fakeService, *client) {
	a := &fakeService{items: map[string]imagery.Image{}}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return a, newClient(s.URL)
}

// TestUploadToProcessed: the time is measured from the answer to the time in the table.
func TestUploadToProcessed(t *testing.T) {
	a, c := newFakeService(t)
	list, err := c.idle(t.Context(), a, []byte("photo"), 2, 0)
	if err != nil || len(list) != 2 {
		t.Fatalf("%v, %v", list, err)
	}
	for _, l := range list {
		if d := l.took(); d < 50*time.Second || d > time.Minute {
			t.Errorf("took %s, want a minute less the way of the answer", d)
		}
	}
	if _, err := c.idle(t.Context(), a, []byte("photo"), 1, 0); err == nil {
		t.Error("an idle service refused, and that is no error")
	}
	if d := (accepted{answered: time.Now(), updated: time.Now().Add(-time.Second)}).took(); d != 0 {
		t.Errorf("processed before the answer: %s", d)
	}
}

func TestOffer(t *testing.T) {
	a, c := newFakeService(t)
	r, err := c.offer(t.Context(), a, []byte("photo"), 200, 300*time.Millisecond)
	want := len(arrivals(200, 300*time.Millisecond))
	if err != nil || r.Sent != want || r.Refused != want/3 || len(r.Took) != want-want/3 {
		t.Errorf("%d uploads: %+v, %v", want, r, err)
	}
	n := float64(len(r.Took))
	if r.Behind < 59 || r.Behind > 61 || r.Done < n/61 || r.Done > n/59 || !r.saturated() {
		t.Errorf("photos that are processed a minute later: %+v", r)
	}
	for _, c := range []struct {
		loadResult
		want bool
	}{
		{loadResult{Sent: 100, Seconds: 10, Done: 9, Behind: 1.1}, false},
		{loadResult{Sent: 100, Seconds: 10, Done: 8, Behind: 2.5}, true},
		{loadResult{Sent: 20, Seconds: 1, Done: 15, Behind: 0.3}, false},
		{loadResult{Sent: 100, Seconds: 10, Done: 5, Refused: 50}, true},
	} {
		if c.saturated() != c.want {
			t.Errorf("saturated is %t: %+v", !c.want, c.loadResult)
		}
	}
}

func TestArrivals(t *testing.T) {
	list := arrivals(50, 100*time.Second)
	if n := float64(len(list)); math.Abs(n-5000) > 300 {
		t.Errorf("%.0f arrivals, want about 5000", n)
	}
	same := slices.Equal(list, arrivals(50, 100*time.Second))
	if !slices.IsSorted(list) || list[len(list)-1] >= 100*time.Second || !same {
		t.Error("the moments are in disorder, too late, or other ones each time")
	}
}

// TestSlowUploadsMeet: no upload ends before all have sent almost everything.
func TestSlowUploadsMeet(t *testing.T) {
	a, c := newFakeService(t)
	r, err := c.uploadTogether(t.Context(), []byte("photo"), slowLoad{12, 300_000, 50 * time.Millisecond})
	if err != nil || r.Accepted != 8 || r.NoMemory != 4 || r.TooSlow != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	if a.most != 12 {
		t.Errorf("%d uploads were open at once", a.most)
	}
}

func TestServiceTables(t *testing.T) {
	second, ms := float64(time.Second), float64(time.Millisecond)
	one := performance{Backend: onLocal, Start: []float64{second}, Idle: []float64{40 * ms},
		AfterPause: []float64{41 * ms}, Large: []float64{second},
		Loads: []loadResult{
			{Seconds: 10, Sent: 20, Done: 2, Took: []float64{30 * ms}, Server: 1 << 20, Worker: 2 << 20}},
		Steady: loadResult{Seconds: 10, Sent: 14, Refused: 1, Done: 1.3, Took: []float64{35 * ms}},
		SlowUploads: []slowResult{
			{Servers: "one server", Budget: 3 << 20, Accepted: 60, NoMemory: 3, TooSlow: 1, Server: 4 << 20}}}
	f := serviceResults{FilterSmall: []float64{20 * ms}, FilterLarge: []float64{200 * ms}, Slow: "64 of them",
		Backends: []performance{one, {Backend: onAWS}}}
	var b bytes.Buffer
	printService(&b, f)
	for _, line := range []string{
		"| upload to processed, 0.3 MP (0.0 MiB) | 20 ms | 40 ms, 40 ms (n = 1) |",
		"The goal for a small photo in an idle local service is 1.5 times the filter plus 50 ms, 80 ms: met.",
		"| local | 2.0 | 10 | 2.0 | 30 ms | 30 ms | 0 of 20 | 1.0 MiB | 2.0 MiB |",
		"| local, 70 % | 1.4 | 10 | 1.3 | 35 ms | 35 ms | 1 of 14 | 0.0 MiB | 0.0 MiB |",
		"| local | one server | 3.0 MiB | 60 | 3 | 1 | 4.0 MiB |  |",
	} {
		if !strings.Contains(b.String(), "\n"+line) {
			t.Errorf("no line %q in\n%s", line, b.String())
		}
	}
	f.Backends[0].Idle = []float64{81 * ms}
	b.Reset()
	if printService(&b, f); !strings.Contains(b.String(), "NOT met") {
		t.Error("81 ms pass for at most 80")
	}
	if goal := fmt.Sprint(idleGoal(20 * time.Millisecond)); goal != "80ms" {
		t.Errorf("goal %s", goal)
	}
}
