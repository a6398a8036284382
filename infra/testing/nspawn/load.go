package nspawn

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"mime/multipart"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Request is a line of the generator's journal.
type Request struct {
	Begin, End time.Time
	What       string
	Code       int    // 0: no answer
	Server     string // place at the balancer
	Err        string
}

// OK reports whether the request was answered as it should be.
func (r Request) OK() bool { return r.Code >= 200 && r.Code < 300 }

// Load sends requests at a constant rate and repeats none: a connection that breaks is a failure. It uses no
// http.Client, since that one quietly repeats.
type Load struct {
	Address string // host:port
	Photo   []byte
	NewID   func() string

	mu       sync.Mutex
	journal  []Request
	accepted []string // ids of photos that were taken
	stop     chan struct{}
	all      sync.WaitGroup
}

// Rates of the load.
const (
	perSecond   = 50 // on connections that stay
	connections = 16
	freshPerSec = 5 // requests on connections of their own
	slowFor     = 2 * time.Second
)

// Start begins; Stop ends it.
func (l *Load) Start() {
	l.stop = make(chan struct{})
	work := make(chan int)
	l.all.Go(func() {
		defer close(work)
		l.every(time.Second/perSecond, func(n int) {
			select {
			case work <- n:
			case <-l.stop:
			}
		})
	})
	for range connections {
		l.all.Go(func() {
			c := &conn{address: l.Address}
			defer c.close()
			for n := range work {
				l.one(c, n)
			}
		})
	}
	l.all.Go(func() {
		l.every(time.Second/freshPerSec, func(n int) {
			l.all.Go(func() {
				c := &conn{address: l.Address}
				defer c.close()
				l.one(c, n*5) // a photo, each time
			})
		})
	})
	l.all.Go(func() {
		l.every(slowFor, func(int) { // one is always under way
			l.all.Go(func() {
				c := &conn{address: l.Address, slow: slowFor}
				defer c.close()
				l.one(c, 0)
			})
		})
	})
}

func (l *Load) every(d time.Duration, do func(n int)) {
	t := time.NewTicker(d)
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

// Stop ends the load when what is under way has been answered, and returns the ids of accepted photos.
func (l *Load) Stop() []string {
	close(l.stop)
	l.all.Wait()
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

// one sends a photo, in every fifth turn, or else looks at one.
func (l *Load) one(c *conn, n int) {
	l.mu.Lock()
	known := len(l.accepted)
	id := ""
	if known > 0 {
		id = l.accepted[n%known]
	}
	l.mu.Unlock()
	if n%5 != 0 && id != "" {
		l.note("look", c, func() (*http.Request,
			error) {
			return http.NewRequest(http.MethodGet, "http://imagery/image/"+id, nil)
		})
		return
	}
	id = l.NewID()
	if !l.note("create", c, func() (*http.Request, error) {
		return http.NewRequest(http.MethodPost, "http://imagery/image", bytes.NewReader([]byte(`{"id":"`+id+`"}`)))
	}) {
		return
	}
	if l.note("upload", c, func() (*http.Request, error) { return l.upload(id, c.slow) }) {
		l.mu.Lock()
		l.accepted = append(l.accepted, id)
		l.mu.Unlock()
	}
}

func (l *Load) upload(id string, slow time.Duration) (*http.Request, error) {
	body := &bytes.Buffer{}
	form := multipart.NewWriter(body)
	part, err := form.CreateFormFile("file", "photo.jpg")
	if err != nil {
		return nil, err
	}
	if _, err := part.Write(l.Photo); err != nil {
		return nil, err
	}
	if err := form.Close(); err != nil {
		return nil, err
	}
	r, err := http.NewRequest(http.MethodPost, "http://imagery/image/"+id+"/upload", body)
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", form.FormDataContentType())
	if slow > 0 {
		r.Body = io.NopCloser(&trickle{body.Bytes(), body.Len()/10 + 1, slow / 10})
	}
	return r, nil
}

// trickle gives a part at a time.
type trickle struct {
	rest  []byte
	part  int
	pause time.Duration
}

func (t *trickle) Read(p []byte) (int, error) {
	if len(t.rest) == 0 {
		return 0, io.EOF
	}
	time.Sleep(t.pause)
	n := copy(p, t.rest[:min(len(t.rest), t.part)])
	t.rest = t.rest[n:]
	return n, nil
}

func (l *Load) note(what string, c *conn, make func() (*http.Request, error)) bool {
	r := Request{Begin: time.Now(), What: what}
	req, err := make()
	if err == nil {
		r.Code, r.Server, err = c.do(req)
	}
	if err != nil {
		r.Err = err.Error()
	}
	r.End = time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.journal = append(l.journal, r)
	return r.OK()
}

// conn is one connection that is kept as long as the other side keeps it.
type conn struct {
	address string
	slow    time.Duration
	c       net.Conn
	r       *bufio.Reader
}

const answerBound = 20 * time.Second

func (c *conn) do(req *http.Request) (code int, server string, err error) {
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	if c.c == nil {
		if c.c, err = net.DialTimeout("tcp", c.address, 5*time.Second); err != nil {
			return 0, "", fmt.Errorf("connect: %w", err)
		}
		c.r = bufio.NewReader(c.c)
	}
	_ = c.c.SetDeadline(time.Now().Add(answerBound + c.slow))
	if err := req.Write(c.c); err != nil {
		return 0, "", fmt.Errorf("send: %w", err)
	}
	res, err := http.ReadResponse(c.r, req)
	if err != nil {
		return 0, "", fmt.Errorf("receive: %w", err)
	}
	defer res.Body.Close()
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		return 0, "", fmt.Errorf("receive: %w", err)
	}
	if res.Close {
		c.close()
	}
	return res.StatusCode, res.Header.Get("X-Served-By"), nil
}

func (c *conn) close() {
	if c.c != nil {
		c.c.Close()
	}
	c.c = nil
}
