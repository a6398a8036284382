package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/client"
)

// TestHeavyPicture: it has the colours of the others, many pixels and few bytes.
func TestHeavyPicture(t *testing.T) {
	all := readAll(t)
	decode := func(p picture) image.Image {
		m, _, err := image.Decode(bytes.NewReader(p.data))
		if err != nil || m.Bounds().Size() != p.size {
			t.Fatalf("%s: %v, %v", p.name, m.Bounds(), err)
		}
		return m
	}
	heavy, steady := decode(all.heavy), decode(all.steady)
	for i := range quarters {
		at := func(m image.Image, p picture) string {
			r, g, b, _ := m.At(p.size.X/4*(1+2*(i%2)), p.size.Y/4*(1+2*(i/2))).RGBA()
			return fmt.Sprint(r>>12, g>>12, b>>12)
		}
		if got, want := at(heavy, all.heavy), at(steady, all.steady); got != want {
			t.Errorf("quarter %d is %s, want about %s", i, got, want)
		}
	}
	if n := len(all.heavy.data); n > 64<<10 || all.heavy.size.X*all.heavy.size.Y < 10_000_000 {
		t.Errorf("%d bytes for %v", n, all.heavy.size)
	}
}

// TestFlood: so many photos are unfinished at a time, and those that were accepted are checked.
func TestFlood(t *testing.T) {
	var mu sync.Mutex
	unfinished, most, polls := map[string]bool{}, 0, 0
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		defer mu.Unlock()
		state, status, id := "uploaded", http.StatusAccepted, strings.Split(r.URL.Path+"//", "/")[2]
		switch {
		case r.URL.Path == "/image":
			_, id, _ = strings.Cut(strings.TrimSuffix(string(body), `"}`), `{"id":"`)
			state, status = "created", http.StatusCreated
		case r.Method == http.MethodPost:
			unfinished[id] = true
			most = max(most, len(unfinished))
		default:
			state, status = "processed", http.StatusOK
			polls++
			if len(unfinished) < 4 && polls < 200 { // nothing is finished before all have begun
				state = "uploaded"
			} else {
				delete(unfinished, id)
			}
		}
		w.WriteHeader(status)
		fmt.Fprintf(w, `{"id":%q,"version":1,"state":%q}`, id, state)
	}))
	defer at.Close()
	of := &T{test: &test{photos: map[string]picture{}, service: client.New(at.URL), pictures: pictures{heavy: picture{
		name: "p", data: []byte("x")}}}}
	f := of.flood(context.Background(), 4)
	for limit := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		f.mu.Lock()
		n := f.sent
		f.mu.Unlock()
		if n >= 12 {
			break
		}
		if time.Now().After(limit) {
			t.Fatalf("%d photos were sent", n)
		}
	}
	sent := f.stop()
	if again := f.stop(); again != sent || len(of.photos) != sent {
		t.Errorf("%d photos were sent, then %d, and %d are checked", sent, again, len(of.photos))
	}
	if most != 4 {
		t.Errorf("at most %d photos were unfinished, want 4", most)
	}
}

func TestLeaving(t *testing.T) {
	l, now := leaving{}, time.Now()
	if err := l.check(time.Minute); err == nil {
		t.Error("it does not matter that no instance left")
	}
	for s := range 5 {
		l.note(workersOf(1, "i-a InService Healthy", "i-b Terminating:Wait Healthy"), now.Add(time.Duration(s)*time.Second))
	}
	if err := l.check(15 * time.Second); err != nil {
		t.Error(err)
	}
	if err := l.check(4 * time.Second); err == nil || !strings.Contains(err.Error(), "i-b left when its") {
		t.Errorf("an instance that did not complete its hook: %v", err)
	}
	if !strings.Contains(l.String(), "1 left") || !strings.Contains(l.String(), "4 s") {
		t.Error(l)
	}
}
