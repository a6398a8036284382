package smoke

import (
	"net"
	"net/http"
	"time"

	"imagery/app/client"
)

const (
	// dialTimeout ends a connection attempt without an answer; the system repeats a lost first packet after 1 s, then
	// after 3.
	dialTimeout = 10 * time.Second
	// answerTimeout is above the longest time that the service itself waits before it answers.
	answerTimeout = 40 * time.Second
	// maxBody limits an answer, in bytes; the results of the small pictures are the largest ones.
	maxBody = 8 << 20
)

// newClient returns a client that sends every request once. A nil h means the standard HTTP client with timeouts.
func newClient(address string, h *http.Client) *client.Client {
	if h == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.DialContext = (&net.Dialer{Timeout: dialTimeout}).DialContext
		h = &http.Client{Transport: t, Timeout: answerTimeout}
	}
	c := client.New(address)
	c.HTTP, c.MaxBody = h, maxBody
	return c
}

// newConnection makes a request use a connection of its own, so that a load balancer may choose another server.
func newConnection(req *http.Request) { req.Close = true }
