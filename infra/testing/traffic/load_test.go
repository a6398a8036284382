package traffic

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// TestLoadRepeatsNothing: the journal has each request that the server saw, once; those that were not answered, or not
// as they should be, are failures, and only photos whose upload was answered are accepted.
func TestLoadRepeatsNothing(t *testing.T) {
	var mu sync.Mutex
	seen, broken, rejected, uploaded := 0, 0, 0, []string(nil)
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id := strings.Split(r.URL.Path+"//", "/")[2]
		if r.URL.Path == "/image" {
			var in struct{ ID string }
			if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.ID == "" {
				t.Errorf("%+v, %v", in, err)
			}
		} else if r.Method == http.MethodPost {
			file, _, err := r.FormFile("file")
			if err != nil {
				t.Error(err)
				return
			}
			file.Close()
		}
		mu.Lock()
		defer mu.Unlock()
		switch seen++; {
		case seen%7 == 0: // the connection breaks
			broken++
			panic(http.ErrAbortHandler)
		case seen%5 == 0:
			rejected++
			w.WriteHeader(http.StatusServiceUnavailable)
		case strings.HasSuffix(r.URL.Path, "/upload"):
			uploaded = append(uploaded, id)
		}
	}))
	defer at.Close()
	var ids atomic.Int64
	l := &Load{Address: strings.TrimPrefix(at.URL, "http://"), Photo: []byte("photo"), PerSecond: 200,
		NewID: func() string { return strconv.Itoa(int(ids.Add(1))) }}
	begun := time.Now()
	l.Start()
	for enough := false; !enough; time.Sleep(time.Millisecond) {
		mu.Lock()
		enough = len(uploaded) >= 10 && broken > 0 && rejected > 0
		mu.Unlock()
		if time.Since(begun) > 30*time.Second {
			t.Fatal("too few requests within 30 s")
		}
	}
	accepted := l.Stop()
	all := l.Since(begun)
	if len(all) != seen {
		t.Errorf("the journal has %d requests, the server saw %d", len(all), seen)
	}
	if failed := slices.DeleteFunc(slices.Clone(all), Request.OK); len(failed) != broken+rejected {
		t.Errorf("%d requests failed, want %d that broke and %d that were rejected: %+v", len(failed), broken, rejected,
			failed)
	}
	slices.Sort(accepted)
	slices.Sort(uploaded)
	if !slices.Equal(accepted, uploaded) {
		t.Errorf("accepted are %v, want %v", accepted, uploaded)
	}
	if late := l.Since(time.Now()); len(late) > 0 {
		t.Errorf("%d requests began after the end", len(late))
	}
}
