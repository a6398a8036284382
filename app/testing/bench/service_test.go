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

	"imagery/app/client"
	"imagery/app/imagery"
)

// fakeService processes a photo a minute after its upload, according to the table, and refuses every third upload.
type fakeService struct {
	imagery.Catalog

	mu      sync.Mutex
	uploads int
	items   map[string]imagery.Image
}

func (a *fakeService) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch {
	case r.URL.Path == "/image":
		w.WriteHeader(http.StatusCreated)
		_, _ = io.Copy(w, r.Body) // an image with the id of the request
	case path.Base(r.URL.Path) == "upload":
		_, _ = io.Copy(io.Discard, r.Body)
		a.mu.Lock()
		defer a.mu.Unlock()
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

func newFakeService(t *testing.T) (*fakeService, client.Client) {
	a := &fakeService{items: map[string]imagery.Image{}}
	s := httptest.NewServer(a)
	t.Cleanup(s.Close)
	return a, *client.New(s.URL)
}

// TestUploadToProcessed: the time is measured from the answer to the time in the table.
func TestUploadToProcessed(t *testing.T) {
	a, c := newFakeService(t)
	list, failed := idle(t.Context(), c, a, []byte("photo"), 2, 0)
	if failed.n != 0 || len(list) != 2 {
		t.Fatalf("%v, %v", list, failed)
	}
	for _, d := range list {
		if d < 50*time.Second || d > time.Minute {
			t.Errorf("took %s, want a minute less the way of the answer", d)
		}
	}
	// The third upload is refused. That is a failure of an idle service, but the next photo is measured.
	if list, failed := idle(t.Context(), c, a, []byte("photo"), 2, 0); len(list) != 1 || failed.n != 1 ||
		client.Status(failed.err()) != http.StatusServiceUnavailable {
		t.Errorf("%v, %v", list, failed)
	}
	if d := (accepted{answered: time.Now(), updated: time.Now().Add(-time.Second)}).took(); d != 0 {
		t.Errorf("processed before the answer: %s", d)
	}
}

func TestOffer(t *testing.T) {
	a, c := newFakeService(t)
	r := offer(t.Context(), c, a, []byte("photo"), 200, 300*time.Millisecond)
	want := len(arrivals(200, 300*time.Millisecond))
	if r.failed.n != 0 || r.sent != want || r.refused != want/3 || len(r.took) != want-want/3 {
		t.Errorf("%d uploads: %+v", want, r)
	}
	n := float64(len(r.took))
	if r.behind < 59 || r.behind > 61 || r.done < n/61 || r.done > n/59 || !r.saturated() {
		t.Errorf("photos that are processed a minute later: %+v", r)
	}
	for _, c := range []struct {
		loadResult
		want bool
	}{
		{loadResult{sent: 100, seconds: 10, done: 9, behind: 1.1}, false},
		{loadResult{sent: 100, seconds: 10, done: 8, behind: 2.5}, true},
		{loadResult{sent: 20, seconds: 1, done: 15, behind: 0.3}, false},
		{loadResult{sent: 100, seconds: 10, done: 5, refused: 50}, true},
		{loadResult{sent: 100, seconds: 10, done: 5, failed: failures{n: 50}}, true},
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

func TestServiceTables(t *testing.T) {
	const ms = time.Millisecond
	one := performance{backend: onLocal, start: []time.Duration{time.Second}, idle: []time.Duration{40 * ms},
		afterPause: []time.Duration{41 * ms}, large: []time.Duration{time.Second},
		loads: []loadResult{
			{seconds: 10, sent: 20, done: 2, took: []time.Duration{30 * ms}, server: 1 << 20, worker: 2 << 20}},
		steady: loadResult{seconds: 10, sent: 14, refused: 1, failed: failures{n: 2}, done: 1.3,
			took: []time.Duration{35 * ms}}}
	f := serviceResults{filterSmall: []time.Duration{20 * ms}, filterLarge: []time.Duration{200 * ms},
		backends: []performance{one, one}}
	var b bytes.Buffer
	printService(&b, f)
	for _, line := range []string{
		"| upload to processed, 0.3 MP (0.0 MiB) | 20 ms | 40 ms, 40 ms (n = 1) | 40 ms, 40 ms (n = 1) |",
		"The goal for a small photo in an idle local service is 1.5 times the filter plus 50 ms, 80 ms: met.",
		"| local | 2.0 | 10 | 2.0 | 30 ms | 30 ms | 0 of 20 | 0 | 1.0 MiB | 2.0 MiB |",
		"| local, 70 % | 1.4 | 10 | 1.3 | 35 ms | 35 ms | 1 of 14 | 2 | 0.0 MiB | 0.0 MiB |",
	} {
		if !strings.Contains(b.String(), "\n"+line) {
			t.Errorf("no line %q in\n%s", line, b.String())
		}
	}
	for _, idle := range [][]time.Duration{{81 * ms}, nil} { // too slow, or not measured
		f.backends[0].idle = idle
		b.Reset()
		if printService(&b, f); !strings.Contains(b.String(), "NOT met") {
			t.Errorf("%v passes for at most 80 ms", idle)
		}
	}
	if goal := fmt.Sprint(idleGoal(20 * time.Millisecond)); goal != "80ms" {
		t.Errorf("goal %s", goal)
	}
}

// TestFailuresKeepWhatWasMeasured: photos that fail or are never processed do not take the others with them.
func TestFailuresKeepWhatWasMeasured(t *testing.T) {
	a, _ := newFakeService(t)
	a.items["good"] = imagery.Image{ID: "good", State: imagery.Processed, Updated: time.Now()}
	a.items["bad"] = imagery.Image{ID: "bad", State: imagery.Failed, Error: "broken"}
	done, failed := awaitProcessed(t.Context(), a, []accepted{{id: "bad"}, {id: "good"}, {id: "unknown"}})
	if len(done) != 1 || done[0].id != "good" || failed.n != 2 || !strings.Contains(failed.err().Error(), "broken") {
		t.Errorf("%+v, %v", done, failed.err())
	}
	var f serviceResults
	f.fail("nothing", nil)
	f.fail("part", failed.err())
	if len(f.failed) != 1 || !strings.HasPrefix(f.failed[0], "part: 2 failed, the first one: image bad") {
		t.Errorf("%q", f.failed)
	}
}
