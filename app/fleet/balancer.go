package fleet

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"strings"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/httpserver"
)

const (
	// answerWithin bounds a request until its answer begins: an upload may take settings.UploadTimeout, a long
	// poll 20 s, and no request does both. Only a server that hangs reaches it.
	answerWithin = settings.UploadTimeout + 30*time.Second
	// continueWithin is how long a server may think about an Expect: 100-continue before it gets the body
	// anyway. It needs a table to know the image.
	continueWithin = 5 * time.Second
)

// defaultConnections bounds the connections that clients may have open where Options do not.
const defaultConnections = 1024

// balancer passes requests on to the servers of a pool. It keeps no body: both directions are copied as they
// come, and a request that a server began is never sent to another one. Repeating is the client's decision, for
// whom every request of the product is safe to repeat.
type balancer struct {
	pool      *pool
	log       *slog.Logger
	web       *httpserver.Server
	transport *http.Transport
	within    time.Duration // answerWithin
}

// newBalancer returns a balancer over the pool's servers. Requests below panelPath go to the panel, if there is one.
func newBalancer(p *pool, o Options) *balancer {
	b := &balancer{pool: p, log: o.Log, within: answerWithin}
	handler := http.Handler(b)
	if o.Panel != nil {
		handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasPrefix(r.URL.Path, o.PanelPath) {
				o.Panel.ServeHTTP(w, r)
			} else {
				b.ServeHTTP(w, r)
			}
		})
	}
	b.web = httpserver.New(handler, cmp.Or(o.Connections, defaultConnections), o.Log, slog.LevelDebug)
	b.transport = &http.Transport{
		DialContext: connected,
		// A request on a connection that the server is about to close could neither be answered nor repeated.
		// A new connection on the loopback costs less than that doubt, and the Transport repeats nothing on it.
		DisableKeepAlives:     true,
		DisableCompression:    true, // what the client asked for is what the server sees
		ExpectContinueTimeout: continueWithin,
	}
	return b
}

func (b *balancer) serve(l net.Listener) error {
	if err := b.web.Serve(l); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve %s: %w", l.Addr(), err)
	}
	return nil
}

// drain takes no new requests, gives up those that wait for a server, and returns a channel that is closed
// when the last answer has been given.
func (b *balancer) drain() <-chan struct{} {
	close(b.pool.closed)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.web.Shutdown(context.Background()) // an error of closing a listener helps nobody now
	}()
	return done
}

// close ends every connection.
func (b *balancer) close() { b.web.Close() }

// stalledWithin is how long a body may take: the server's own bound, and time for its answer.
const stalledWithin = settings.UploadTimeout + 10*time.Second

// ServeHTTP passes one request on. The time limit ends with the head of the answer: a large photo may take as
// long as its reader needs.
func (b *balancer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if upgrade := r.Header.Values("Upgrade"); len(upgrade) > 0 {
		if !printable(upgrade) {
			b.refuse(w, r, &upload{}, errBadUpgrade)
			return
		}
		r.Header.Del("Upgrade") // no server speaks another protocol, and HTTP lets them ignore the wish
	}
	client := r.Context()
	ctx, cancel := context.WithCancelCause(client)
	defer cancel(nil)
	late := time.AfterFunc(b.within, func() { cancel(errNoAnswer) })
	defer late.Stop()

	body := &upload{ReadCloser: r.Body}
	if r.ContentLength == 0 {
		body.ended.Store(true)
	} else {
		// A client that stalls while its server dies would keep the request for ever: the proxy waits for the
		// body before it reports the dead server. net/http sets another deadline for the next request.
		_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(stalledWithin))
	}
	r = r.WithContext(ctx)
	r.Body = body
	proxy := httputil.ReverseProxy{
		Rewrite:        rewrite,
		Transport:      roundTripper(b.send),
		ErrorLog:       b.web.ErrorLog,
		ModifyResponse: func(*http.Response) error { late.Stop(); return nil },
		ErrorHandler: func(w http.ResponseWriter, r *http.Request, err error) {
			// A body that broke ends the context, too, but half of that client may still listen.
			if client.Err() != nil && !body.broken.Load() {
				panic(http.ErrAbortHandler) // nobody is there to read an answer
			}
			b.refuse(w, r, body, err)
		},
	}
	proxy.ServeHTTP(&answer{w, body}, r)
	body.dropRest(w)
}

// errBadUpgrade refuses a request whose Upgrade header names no protocol.
var errBadUpgrade = errors.New("the Upgrade header has bytes that no protocol's name has")

// printable reports whether all values are of ASCII's printable characters.
func printable(values []string) bool {
	for _, v := range values {
		if strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r > '~' }) {
			return false
		}
	}
	return true
}

// rewrite changes nothing but where the request goes and who is said to have sent it, as an ALB does.
func rewrite(r *httputil.ProxyRequest) {
	r.Out.URL.Scheme, r.Out.URL.Host = "http", "server"
	r.Out.URL.RawQuery = r.In.URL.RawQuery
	r.Out.Header["X-Forwarded-For"] = r.In.Header["X-Forwarded-For"]
	r.SetXForwarded()
}

type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// connKey is the context key of the connection that a request shall use.
type connKey struct{}

func connected(ctx context.Context, _, _ string) (net.Conn, error) {
	return ctx.Value(connKey{}).(net.Conn), nil
}

// send connects first and sends then, so that only connecting is ever repeated.
func (b *balancer) send(r *http.Request) (*http.Response, error) {
	conn, err := b.pool.connect(r.Context())
	if err != nil {
		return nil, err
	}
	res, err := b.transport.RoundTrip(r.WithContext(context.WithValue(r.Context(), connKey{}, conn)))
	if err != nil {
		conn.Close() // the Transport may have refused the request before it used the connection
		return nil, fmt.Errorf("send to server %s: %w", conn.RemoteAddr(), err)
	}
	return res, nil
}
