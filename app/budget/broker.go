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

// Broker leases bytes of its pools to other processes of this machine. Each lease is an open connection on the loopback
// interface: when the other process ends, for whatever reason, the operating system closes the connection, which frees
// the bytes.
type Broker struct {
	listener net.Listener
	token    string // secret that authorizes a process to lease
	pools    map[string]*Pool
}

// requestTimeout limits the time from a new connection to its request.
const requestTimeout = 5 * time.Second

// NewBroker returns a broker that listens on a free port of the loopback interface. sizes has the size of each pool in
// bytes, by name.
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

// Address returns the address to give to Dial. It contains the secret.
func (b *Broker) Address() string { return b.listener.Addr().String() + "/" + b.token }

// Serve grants leases until Close. If a connection cannot be accepted, for example because file descriptors are
// exhausted, it calls onError and retries after acceptPause.
func (b *Broker) Serve(onError func(error)) {
	for {
		conn, err := b.listener.Accept()
		switch {
		case err == nil:
			go b.lease(conn)
		case errors.Is(err, net.ErrClosed):
			return
		default:
			onError(err)
			time.Sleep(acceptPause)
		}
	}
}

// acceptPause is the time between a failed accept and its retry.
const acceptPause = 100 * time.Millisecond

// Close ends Serve. Existing leases stay valid.
func (b *Broker) Close() error { return b.listener.Close() }

// leaseFormat is the request, sent once on each connection: token, pool, bytes, and whether to fail instead of waiting.
// The reply is one line, granted or refused.
const leaseFormat = "%s %s %d %t\n"

// maxRequest is the largest request in bytes. It is small because processes without the token can connect, too.
const maxRequest = 200

const granted, refused = "granted\n", "refused\n"

// lease serves one connection: it acquires the bytes, replies, and releases them when the connection is closed. It does
// not reply to a request that is malformed, unauthorized, or for an unknown pool.
func (b *Broker) lease(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(requestTimeout))
	line, err := bufio.NewReaderSize(conn, maxRequest).ReadSlice('\n')
	if err != nil {
		return
	}
	_ = conn.SetReadDeadline(time.Time{})
	var token, name string
	var n int64
	var now bool
	_, err = fmt.Sscanf(string(line), leaseFormat, &token, &name, &n, &now)
	authorized := subtle.ConstantTimeCompare([]byte(token), []byte(b.token)) == 1
	pool := b.pools[name]
	if err != nil || !authorized || n <= 0 || pool == nil {
		return
	}
	ctx, cancel := context.WithCancel(context.Background())
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, conn) // until the other process closes it or ends
	}()
	release, ok := pool.TryAcquire(n)
	if !ok && !now {
		release, err = pool.Acquire(ctx, n)
		ok = err == nil
	}
	if !ok {
		_, _ = io.WriteString(conn, refused) // if this fails the other process has ended
		return
	}
	defer release()
	if _, err := io.WriteString(conn, granted); err != nil {
		return
	}
	<-ctx.Done()
}

var errNotFree = errors.New("not free")

// Leases is the client of one pool of a Broker in another process. Safe for concurrent use.
type Leases struct {
	address, token, pool string
	changed              func(delta int64) // see Dial
}

// Dial returns the named pool of the Broker at address. It does not connect. changed, if not nil, is called with each
// change of the number of bytes leased through the result: after bytes were granted but before Acquire returns, and
// before bytes are released.
func Dial(address, pool string, changed func(delta int64)) (*Leases, error) {
	host, token, ok := strings.Cut(address, "/")
	if !ok {
		return nil, fmt.Errorf("%q is not the address of a memory broker", address)
	}
	if changed == nil {
		changed = func(int64) {}
	}
	return &Leases{host, token, pool, changed}, nil
}

// tryTimeout limits TryAcquire. The broker replies at once.
const tryTimeout = time.Second

// Acquire implements Memory. It also returns an error if the broker cannot be reached.
func (l *Leases) Acquire(ctx context.Context, n int64) (release func(), err error) {
	if release, err = l.lease(ctx, n, false); err != nil {
		return nil, fmt.Errorf("lease %d bytes of memory: %w", n, err)
	}
	return release, nil
}

// TryAcquire implements Memory; ok is false also if the broker cannot be reached.
func (l *Leases) TryAcquire(n int64) (release func(), ok bool) {
	ctx, cancel := context.WithTimeout(context.Background(), tryTimeout)
	defer cancel()
	release, err := l.lease(ctx, n, true)
	return release, err == nil
}

// lease opens a connection, sends a request and waits for the reply.
func (l *Leases) lease(ctx context.Context, n int64, now bool) (release func(), err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", l.address)
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	_, err = fmt.Fprintf(conn, leaseFormat, l.token, l.pool, n, now)
	var reply string
	if err == nil {
		reply, err = bufio.NewReader(conn).ReadString('\n')
	}
	if err == nil && reply != granted {
		err = errNotFree
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		conn.Close()
		return nil, errors.Join(ctx.Err(), err)
	}
	l.changed(n)
	return func() {
		l.changed(-n)
		conn.Close()
	}, nil
}
