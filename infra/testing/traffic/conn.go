package traffic

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"time"
)

// conn is a persistent connection. An http.Client would quietly repeat requests.
type conn struct {
	address string
	slow    time.Duration // of an upload
	c       net.Conn
	r       *bufio.Reader
}

const answerTimeout = 20 * time.Second

// connect opens n connections and has each of them do work until the channel is closed.
func connect[T any](all *sync.WaitGroup, address string, n int, work <-chan T, do func(*conn, T)) {
	for range n {
		all.Go(func() {
			c := &conn{address: address}
			defer c.close()
			for w := range work {
				do(c, w)
			}
		})
	}
}

// do sends a request, and connects first if necessary. It returns the status and the server that HAProxy chose.
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
	_ = c.c.SetDeadline(time.Now().Add(answerTimeout + c.slow))
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
