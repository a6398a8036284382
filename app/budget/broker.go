package budget

import (
	"bufio"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// A Broker leases the bytes of its pools to other processes of this machine. Each lease is a connection on the loopback
// interface, which its holder keeps open: when that process ends, however it ends, the operating system closes the
// connection and the bytes are free again.
type Broker struct {
	listener net.Listener
	token    string // only processes that were told it may lease
	pools    map[string]*Pool
}

// helloTimeout bounds the time from a connection to its request.
const helloTimeout = 5 * time.Second

// NewBroker listens on a free port of the loopback interface. Sizes are the pools, by name, in bytes.
func NewBroker(sizes map[string]int64) (*Broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("listen for leases of memory: %w", err)
	}
	b := &Broker{listener: l, token: rand.Text(), pools: map[string]*Pool{}}
	for name, size := range sizes {
		b.pools[name] = NewPool(size)
	}
	return b, nil
}

// Address returns what Dial needs to know.
func (b *Broker) Address() string { return b.listener.Addr().String() + "/" + b.token }

// Serve grants leases until Close. When it cannot accept a connection, for want of file descriptors, it calls failed
// and goes on after a moment.
func (b *Broker) Serve(failed func(error)) {
	for {
		conn, err := b.listener.Accept()
		switch {
		case err == nil:
			go b.lease(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			failed(err)
			time.Sleep(acceptPause)
		}
	}
}

// acceptPause is the time after which a failed accept is tried again.
const acceptPause = 100 * time.Millisecond

// Close ends Serve. Leases stay as they are.
func (b *Broker) Close() error { return b.listener.Close() }

// leaseRequest is written by a process on a new connection. The answer is one line: granted or refused.
type leaseRequest struct {
	token, pool string
	bytes       int64
	now         bool // do not wait
}

// mostRequest bounds a request, in bytes: a process without the token may open many connections.
const mostRequest = 200

const leaseForm = "%s %s %d %t\n"

const granted, refused = "granted\n", "refused\n"

// lease serves one connection: it waits for the bytes, says so, and gives them back when the connection ends.
func (b *Broker) lease(conn net.Conn) {
	defer conn.Close()
	r, ok := b.read(conn)
	if !ok {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, conn) // until the holder closes it, or is dead
	}()
	release, err := b.grant(ctx, r)
	if err != nil {
		_, _ = io.WriteString(conn, refused) // the process asks again or is gone
		return
	}
	defer release()
	if _, err := io.WriteString(conn, granted); err != nil {
		return
	}
	<-ctx.Done()
}

// read reads the request of a connection, and reports whether it comes from a process that may lease.
func (b *Broker) read(conn net.Conn) (r leaseRequest, ok bool) {
	_ = conn.SetReadDeadline(time.Now().Add(helloTimeout))
	line, err := bufio.NewReaderSize(conn, mostRequest).ReadSlice('\n')
	if err != nil {
		return r, false
	}
	_ = conn.SetReadDeadline(time.Time{})
	_, err = fmt.Sscanf(string(line), leaseForm, &r.token, &r.pool, &r.bytes, &r.now)
	ours := subtle.ConstantTimeCompare([]byte(r.token), []byte(b.token)) == 1
	return r, err == nil && ours && r.bytes > 0 && b.pools[r.pool] != nil
}

var errNotFree = errors.New("not free")

func (b *Broker) grant(ctx context.Context, r leaseRequest) (release func(), err error) {
	pool := b.pools[r.pool]
	if !r.now {
		return pool.Acquire(ctx, r.bytes)
	}
	release, ok := pool.TryAcquire(r.bytes)
	if !ok {
		return nil, errNotFree
	}
	return release, nil
}

// Leases is a pool of a Broker in another process. Safe for concurrent use.
type Leases struct {
	address, token, pool string
	held                 func(delta int64) // called before bytes are used and after they were given up
}

// Dial returns the named pool at the address of a Broker. It makes no connection. changed is told, if it is not nil,
// by how much the bytes that this process holds grow or shrink: before it may use more, and before it gives some back.
func Dial(address, pool string, changed func(delta int64)) (*Leases, error) {
	host, token, ok := strings.Cut(address, "/")
	if !ok {
		return nil, fmt.Errorf("%q is no address of a memory broker", address)
	}
	if changed == nil {
		changed = func(int64) {}
	}
	return &Leases{host, token, pool, changed}, nil
}

// tryTimeout bounds a TryAcquire: the broker answers from memory.
const tryTimeout = time.Second

// Acquire waits until n bytes are free or ctx ends; release gives them back and must be called once. It fails also when
// the broker is gone.
func (l *Leases) Acquire(ctx context.Context, n int64) (release func(), err error) {
	conn, err := l.ask(ctx, n, false)
	if err != nil {
		return nil, fmt.Errorf("lease %d bytes of memory: %w", n, err)
	}
	return l.releaser(conn, n), nil
}

// TryAcquire is Acquire for callers that have something else to do instead of waiting; false when Acquire would wait or
// fail.
func (l *Leases) TryAcquire(n int64) (release func(), ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), tryTimeout)
	defer cancel()
	conn, err := l.ask(ctx, n, true)
	if err != nil {
		return nil, false
	}
	return l.releaser(conn, n), true
}

// ask opens a connection and waits for the broker's answer.
func (l *Leases) ask(ctx context.Context, n int64, now bool) (net.Conn, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	_, err = fmt.Fprintf(conn, leaseForm, l.token, l.pool, n, now)
	var answer string
	if err == nil {
		answer, err = bufio.NewReader(conn).ReadString('\n')
	}
	if err == nil && answer != granted {
		err = errNotFree
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, errors.Join(ctx.Err(), err)
	}
	return conn, nil
}

func (l *Leases) releaser(conn net.Conn, n int64) func() {
	l.held(n)
	return func() {
		l.held(-n)
		conn.Close()
	}
}
