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

// rush says how slow uploads are made: so many at once, each of a photo of so many bytes, for so long.
type rush struct {
	clients, bytes int
	takes          time.Duration
}

// crowd is what became of them.
type crowd struct {
	Who      string
	Budget   int64 // bytes of each server; 0: what the machine has
	Accepted int
	NoRoom   int   // 503 by design, for want of memory
	Late     int   // 503 because storage was too slow
	Server   int64 // bytes, the largest peak of a server
	Balancer int64
}

// slowly sends a body piece by piece, and its end only when everybody else has come as far.
type slowly struct {
	body  []byte
	at    int
	step  time.Duration
	last  int // bytes that wait for the others
	ready func()
	all   <-chan struct{} // closed when everybody has come
	end   <-chan struct{} // closed when it is all over
}

const slowPiece = 128 << 10

func (s *slowly) Read(p []byte) (int, error) {
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

// crowdIn has all of them upload at the same time, so that for a moment the servers hold everything that they admit.
func (c *client) crowdIn(ctx context.Context, small []byte, r rush) (is crowd, err error) {
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
			defer arrive() // who was refused keeps nobody waiting
			slow := &slowly{body: body, step: r.takes * slowPiece / time.Duration(r.bytes),
				last: 1 << 10, ready: arrive, all: all, end: ctx.Done()}
			status, problem, upErr := c.uploadSlowly(ctx, contentType, slow)
			mu.Lock()
			defer mu.Unlock()
			switch {
			case upErr != nil:
				err = upErr
			case status == http.StatusAccepted:
				is.Accepted++
			case status == http.StatusServiceUnavailable && strings.Contains(problem, "Too many uploads"):
				is.NoRoom++
			case status == http.StatusServiceUnavailable:
				is.Late++
			default:
				err = fmt.Errorf("a slow upload was answered with %d %s", status, problem)
			}
		})
	}
	clients.Wait()
	return is, err
}

func (c *client) uploadSlowly(ctx context.Context, contentType string, slow *slowly) (status int, problem string, err error) {
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
