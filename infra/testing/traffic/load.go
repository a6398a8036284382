// Package traffic sends requests to a running service and repeats none, and keeps a journal of all of them.
package traffic

import (
	"bytes"
	"cmp"
	"io"
	"mime/multipart"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Request is a line of the load's journal.
type Request struct {
	Begin, End time.Time
	What       string
	Code       int    // 0: no answer
	Server     string // the rehearsal's load balancer names it
	Err        string
}

// OK reports whether the request was answered as it should be.
func (r Request) OK() bool { return r.Code >= 200 && r.Code < 300 }

// Load sends requests at a constant rate and repeats none: a connection that breaks is a failure.
type Load struct {
	Address string // host:port
	Photo   []byte
	NewID   func() string
	// PerSecond is the number of requests a second on persistent connections; 0: 50. A tenth as many uploads come on
	// connections of their own.
	PerSecond int
	// Connections is the number of persistent connections; 0: 16 at 50 requests a second. A service that is slow needs
	// more to get all requests.
	Connections int
	// Path is what the persistent connections request; "": accepted photos, and every fifth request is an upload.
	Path string

	mu       sync.Mutex
	journal  []Request
	accepted []string // ids of photos that were accepted
	stop     chan struct{}
	all      sync.WaitGroup
}

const (
	usualRate   = 50
	uploadEvery = 5
	connections = 16              // at the usual rate
	slowFor     = 2 * time.Second // the duration of a slow upload
)

// Start starts the load; Stop ends it.
func (l *Load) Start() {
	rate := cmp.Or(l.PerSecond, usualRate)
	l.stop = make(chan struct{})
	work := make(chan int)
	l.all.Go(func() {
		defer close(work)
		l.every(time.Second/time.Duration(rate), func(n int) {
			select {
			case work <- n:
			case <-l.stop:
			}
		})
	})
	connect(&l.all, l.Address, cmp.Or(l.Connections, max(1, connections*rate/usualRate)), work, l.next)
	fresh := func(interval, slow time.Duration) {
		l.every(interval, func(int) {
			l.all.Go(func() {
				c := &conn{address: l.Address, slow: slow}
				defer c.close()
				l.create(c)
			})
		})
	}
	l.all.Go(func() { fresh(10*time.Second/time.Duration(rate), 0) })
	l.all.Go(func() { fresh(slowFor, slowFor) }) // one is always in flight
}

// every calls do in intervals, with 1, 2, 3 and so on, until Stop.
func (l *Load) every(interval time.Duration, do func(n int)) {
	t := time.NewTicker(interval)
	defer t.Stop()
	for n := 1; ; n++ {
		select {
		case <-l.stop:
			return
		case <-t.C:
			do(n)
		}
	}
}

// Stop ends the load when the requests in flight have been answered, and returns the ids of accepted photos.
func (l *Load) Stop() []string {
	close(l.stop)
	l.all.Wait()
	return l.Accepted()
}

// Accepted returns the ids of the photos that were accepted so far, in the order of the answers.
func (l *Load) Accepted() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.accepted)
}

// Since lists the requests that began after a time.
func (l *Load) Since(t time.Time) []Request {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(l.journal), func(r Request) bool { return r.Begin.Before(t) })
}

// next sends request n of the persistent connections.
func (l *Load) next(c *conn, n int) {
	path := l.Path
	if path == "" {
		l.mu.Lock()
		if known := len(l.accepted); known > 0 && n%uploadEvery != 0 {
			path = "/image/" + l.accepted[n%known]
		}
		l.mu.Unlock()
	}
	if path == "" {
		l.create(c)
		return
	}
	l.send(c, "get", request(http.MethodGet, path, nil))
}

// create creates an image and uploads its photo.
func (l *Load) create(c *conn) {
	id := l.NewID()
	create := request(http.MethodPost, "/image", strings.NewReader(`{"id":"`+id+`"}`))
	if l.send(c, "create", create) && l.send(c, "upload", l.upload(id, c.slow)) {
		l.mu.Lock()
		l.accepted = append(l.accepted, id)
		l.mu.Unlock()
	}
}

// request returns a request to the service.
func request(method, path string, body io.Reader) *http.Request {
	r, err := http.NewRequest(method, "http://imagery"+path, body)
	if err != nil {
		panic(err) // method and path are valid
	}
	return r
}

func (l *Load) upload(id string, slow time.Duration) *http.Request {
	body := &bytes.Buffer{} // writing to it does not fail
	form := multipart.NewWriter(body)
	part, _ := form.CreateFormFile("file", "photo.jpg")
	_, _ = part.Write(l.Photo)
	_ = form.Close()
	r := request(http.MethodPost, "/image/"+id+"/upload", body)
	r.Header.Set("Content-Type", form.FormDataContentType())
	if slow > 0 {
		r.Body = io.NopCloser(&trickle{body, body.Len()/10 + 1, slow / 10})
	}
	return r
}

// trickle reads a part at a time.
type trickle struct {
	io.Reader
	part  int
	pause time.Duration
}

func (t *trickle) Read(p []byte) (int, error) {
	time.Sleep(t.pause)
	return t.Reader.Read(p[:min(len(p), t.part)])
}

// send sends a request, records it in the journal, and reports whether it was answered as it should be.
func (l *Load) send(c *conn, what string, req *http.Request) bool {
	r := Request{Begin: time.Now(), What: what}
	var err error
	if r.Code, r.Server, err = c.do(req); err != nil {
		r.Err = err.Error()
	}
	r.End = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.journal = append(l.journal, r)
	return r.OK()
}
