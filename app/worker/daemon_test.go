package worker

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestPeersOfTheDaemonRoute(t *testing.T) {
	for peer, want := range map[string]int{"127.0.0.1:1": 200, "[::1]:1": 200, "[::ffff:127.0.0.1]:1": 200,
		"203.0.113.9:1": 403, "[2001:db8::1]:1": 403, "": 403} {
		r, rw := httptest.NewRequest(http.MethodPost, "/sqs", nil), httptest.NewRecorder()
		r.RemoteAddr, r.Host = peer, "localhost"
		daemonOnly(func(http.ResponseWriter, *http.Request) {})(rw, r)
		if rw.Code != want {
			t.Errorf("from %q: %d, want %d", peer, rw.Code, want)
		}
	}
}
