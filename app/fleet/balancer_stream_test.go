package fleet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

func TestHeaders(t *testing.T) {
	type seen struct {
		Host, URI string
		Header    http.Header
	}
	requests := make(chan seen, 1)
	_, addr := balance(t, func(w http.ResponseWriter, r *http.Request) {
		requests <- seen{r.Host, r.RequestURI, r.Header}
		w.Header().Set("Location", "/#view=1")
		w.Header().Set("X-Request-Id", "of the server")
		w.Header().Set("Content-Length", "5")
		w.WriteHeader(http.StatusFound)
		io.WriteString(w, "moved")
	})
	client := http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{DisableCompression: true}}
	for _, method := range []string{http.MethodGet, http.MethodHead} {
		req, _ := http.NewRequest(method, "http://"+addr+"/a%2Fb//c?q=1;2&x=%zz", nil)
		req.Host = "photos.example:8080"
		req.Header.Set("X-Forwarded-For", "203.0.113.7")
		req.Header.Set("X-Forwarded-Proto", "https")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		want := map[string]string{http.MethodGet: "moved", http.MethodHead: ""}[method]
		if res.StatusCode != http.StatusFound || res.Header.Get("Location") != "/#view=1" || res.ContentLength != 5 ||
			res.Header.Get("X-Request-Id") != "of the server" || string(body) != want {
			t.Errorf("%s: %s %v %q", method, res.Status, res.Header, body)
		}
		got := <-requests
		if got.Host != "photos.example:8080" || got.URI != "/a%2Fb//c?q=1;2&x=%zz" {
			t.Errorf("%s: host %q, URI %q", method, got.Host, got.URI)
		}
		for name, want := range map[string]string{"X-Forwarded-For": "203.0.113.7, 127.0.0.1", "X-Forwarded-Proto": "http",
			"X-Forwarded-Host": "photos.example:8080", "Accept-Encoding": "", "User-Agent": "Go-http-client/1.1"} {
			if v := got.Header.Get(name); v != want {
				t.Errorf("%s: %s is %q, want %q", method, name, v, want)
			}
		}
	}
}

// TestUpgrade: a valid Upgrade header is removed, a malformed one is a bad request.
func TestUpgrade(t *testing.T) {
	seen := make(chan http.Header, 1)
	_, addr := balance(t, func(w http.ResponseWriter, r *http.Request) { seen <- r.Header })
	for upgrade, want := range map[string]int{"websocket": http.StatusOK, "web\xffsocket": http.StatusBadRequest} {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: %s\r\n\r\n", upgrade)
		res, err := http.ReadResponse(bufio.NewReader(conn), nil)
		if err != nil {
			t.Fatal(err)
		}
		if want == http.StatusBadRequest {
			isProblem(t, res, want)
		} else if h := <-seen; res.StatusCode != want || h.Get("Upgrade") != "" || h.Get("Connection") == "Upgrade" {
			t.Errorf("%q: %s; the server saw %v", upgrade, res.Status, h)
		}
	}
}

// TestStreams: bodies are streamed both ways. Each side waits for one piece before it sends the next.
func TestStreams(t *testing.T) {
	const piece, pieces = 1 << 20, 20
	arrived, proceed := make(chan bool), make(chan bool)
	_, addr := balance(t, func(w http.ResponseWriter, r *http.Request) {
		buf := make([]byte, piece)
		for range pieces {
			if _, err := io.ReadFull(r.Body, buf); err != nil {
				t.Error(err)
			}
			arrived <- true
		}
		for range pieces {
			w.Write(buf)
			w.(http.Flusher).Flush()
			select {
			case <-proceed:
			case <-r.Context().Done():
				return
			}
		}
	})
	body, upload := io.Pipe()
	go func() {
		for range pieces {
			upload.Write(make([]byte, piece))
			select {
			case <-arrived:
			case <-time.After(10 * time.Second):
				upload.CloseWithError(errors.New("a piece is held back on its way up"))
				return
			}
		}
		upload.Close()
	}()
	req, _ := http.NewRequest(http.MethodPost, "http://"+addr, body)
	req.ContentLength = piece * pieces
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	for i := range pieces {
		if _, err := io.ReadFull(res.Body, make([]byte, piece)); err != nil {
			t.Fatalf("piece %d down: %v", i, err)
		}
		select {
		case proceed <- true:
		case <-time.After(10 * time.Second):
			t.Fatalf("the server was cut after piece %d", i)
		}
	}
}

// raw is a connection that sends bytes unchanged and reads responses with a deadline.
type raw struct {
	net.Conn
	*bufio.Reader
}

func dialRaw(t *testing.T, addr, request string) raw {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	fmt.Fprint(conn, request)
	return raw{conn, bufio.NewReader(conn)}
}

func (c raw) answer(t *testing.T) *http.Response {
	t.Helper()
	res, err := http.ReadResponse(c.Reader, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { res.Body.Close() })
	return res
}
