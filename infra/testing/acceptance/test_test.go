package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"imagery/app/client"
	"imagery/infra/testing/traffic"
)

// TestObserve: a scene fails if a photo is lost, wrong (unless the scene expects it), or a request was not answered.
func TestObserve(t *testing.T) {
	var mode atomic.Value // what the service does wrong
	mode.Store("")
	steady := readAll(t).steady
	right := filtered(steady.size)
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch wrong := mode.Load(); {
		case r.Method == http.MethodPost && wrong == "break":
			panic(http.ErrAbortHandler)
		case r.Method == http.MethodPost:
			w.WriteHeader(http.StatusAccepted)
		case strings.HasSuffix(r.URL.Path, "/processed") && wrong == "spoil":
			_, _ = w.Write(steady.data)
		case strings.HasSuffix(r.URL.Path, "/processed"):
			_, _ = w.Write(right)
		default:
			id, state := strings.Split(r.URL.Path, "/")[2], "processed"
			if wrong == "lose" {
				state = "failed"
			}
			fmt.Fprintf(w, `{"id":%q,"version":2,"state":%q,"processedImage":"/image/%[1]s/processed"}`, id, state)
		}
	}))
	defer at.Close()
	for _, c := range []struct {
		name, wrong string
		spoils      bool
		fails       string // of observe; the lost and the wrong are all that were accepted
		harmed      bool
	}{
		{name: "all is well"},
		{name: "wrong photos", wrong: "spoil", fails: "the result of steady.jpg is"},
		{name: "wrong photos that the scene expects", wrong: "spoil", spoils: true},
		{name: "lost photos", wrong: "lose", fails: "failed"},
		{name: "lost photos where the scene expects wrong ones", wrong: "lose", spoils: true, fails: "failed"},
		{name: "requests without an answer", wrong: "break", harmed: true},
	} {
		t.Run(c.name, func(t *testing.T) {
			mode.Store("")
			load := &traffic.Load{Address: strings.TrimPrefix(at.URL, "http://"), Photo: steady.data, NewID: newID,
				PerSecond: 100}
			of := &T{test: &test{out: t.Output(), begun: time.Now(), photos: map[string]picture{}, load: load,
				service: client.New(at.URL), pictures: pictures{steady: steady}}, begun: time.Now(), spoils: c.spoils}
			load.Start()
			enough := func() bool {
				failed, all := of.failures(of.begun)
				return len(load.Accepted()) >= 5 && all > 20 && (failed > 0) == c.harmed
			}
			for !enough() {
				if len(load.Accepted()) >= 5 {
					mode.Store(c.wrong)
				}
				time.Sleep(time.Millisecond)
				if time.Since(of.begun) > 30*time.Second {
					t.Fatal("the load does nothing within 30 s")
				}
			}
			load.Stop()
			mode.Store(c.wrong)
			seen, err := of.observe(t.Context(), of)
			if (err != nil) != (c.fails != "") || err != nil && !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%v, want %q", err, c.fails)
			}
			want := observed{accepted: len(load.Accepted())}
			want.failed, want.requests = of.failures(of.begun)
			switch c.wrong {
			case "spoil":
				want.wrong = want.accepted
			case "lose":
				want.lost = want.accepted
			}
			if seen != want {
				t.Errorf("%+v, want %+v", seen, want)
			}
			if err := of.unharmed(); (err != nil) != c.harmed {
				t.Errorf("harmed: %v", err)
			}
			again, err := of.observe(t.Context(), of)
			if err != nil || again.accepted != 0 {
				t.Errorf("photos count for two scenes: %+v, %v", again, err)
			}
		})
	}
}
