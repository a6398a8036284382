package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	api "imagery/app/client"
	"imagery/app/imagery"
)

// slowLoad describes slow uploads: the number of clients, the bytes of each photo and the duration of each upload.
type slowLoad struct {
	clients, bytes int
	takes          time.Duration
}

// slowResult has the results of slow uploads.
type slowResult struct {
	Servers  string // description
	Budget   int64  // bytes of each server; 0 for the default
	Accepted int
	NoMemory int   // 503 because the memory budget is used up
	TooSlow  int   // 503 because storage was too slow
	Server   int64 // bytes, the largest peak of a server
	Balancer int64
}

// slowBody is the body of a slow upload. It sends its last bytes only after all other uploads have come as far.
type slowBody struct {
	body  []byte
	at    int
	step  time.Duration
	last  int // number of bytes that are sent after the others have come as far
	ready func()
	all   <-chan struct{} // closed when all uploads have come as far
	end   <-chan struct{} // closed when the run ends
}

const slowPiece = 128 << 10

func (s *slowBody) Read(p []byte) (int, error) {
	switch left := len(s.body) - s.at; {
	case left == 0:
		return 0, io.EOF
	case left <= s.last:
		s.ready()
		select {
		case <-s.all:
		case <-s.end:
			return 0, io.ErrUnexpectedEOF
		}
	default:
		time.Sleep(s.step)
		p = p[:min(len(p), slowPiece, left-s.last)]
	}
	n := copy(p, s.body[s.at:])
	s.at += n
	return n, nil
}

// uploadTogether runs all uploads at the same time and completes them together, so that at one time the servers hold as
// many bytes as they admit.
func (c *client) uploadTogether(ctx context.Context, small []byte, r slowLoad) (is slowResult, err error) {
	photo := slices.Concat(small, make([]byte, r.bytes-len(small))) // decoders stop at the end of the picture
	contentType, body := api.Form("photo.jpg", photo)
	all := make(chan struct{})
	here := 0
	var mu sync.Mutex // guards here, is and err
	come := func() {
		mu.Lock()
		defer mu.Unlock()
		if here++; here == r.clients {
			close(all)
		}
	}
	var clients sync.WaitGroup
	for range r.clients {
		clients.Go(func() {
			arrive := sync.OnceFunc(come)
			defer arrive() // a refused upload must not block the others
			slow := &slowBody{body: body, step: r.takes * slowPiece / time.Duration(r.bytes),
				last: 1 << 10, ready: arrive, all: all, end: ctx.Done()}
			status, problem, upErr := c.uploadSlow(ctx, contentType, slow)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case upErr != nil:
				err = upErr
			case status == http.StatusAccepted:
				is.Accepted++
			case status == http.StatusServiceUnavailable && strings.Contains(problem, "Too many uploads"):
				is.NoMemory++
			case status == http.StatusServiceUnavailable:
				is.TooSlow++
			default:
				err = fmt.Errorf("a slow upload was answered with %d %s", status, problem)
			}
		})
	}
	clients.Wait()
	return is, err
}

func (c *client) uploadSlow(ctx context.Context, contentType string, slow *slowBody) (
	status int, problem string, err error) {
	img, err := c.Create(ctx, imagery.NewID())
	if err != nil {
		return 0, "", err
	}
	res, err := c.Do(ctx, http.MethodPost, "/image/"+img.ID+"/upload", slow.body, func(req *http.Request) {
		req.Header.Set("Content-Type", contentType)
		req.Body, req.GetBody = io.NopCloser(slow), nil
	})
	return res.Status, string(res.Body), err
}
