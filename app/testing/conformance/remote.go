package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"sync"
	"time"

	"imagery/app/imagery"
)

// Ports are the ports of one process.
type Ports struct {
	Catalog     imagery.Catalog
	Blobs       imagery.Blobs
	Queue       imagery.Queue
	DeadLetters imagery.Queue
}

// Serve serves ports to Dial at the other end of conn until conn is closed. It forwards the end of contexts, and the
// errors of package imagery can be compared with errors.Is.
func Serve(conn io.ReadWriteCloser, p Ports) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	server := rpc.NewServer()
	if err := server.RegisterName("Ports", &portServer{ctx: ctx, ports: p, calls: map[uint64]*call{}}); err != nil {
		return err
	}
	server.ServeConn(watched{conn, cancel}) // returns after the pending calls
	return nil
}

// watched is a connection that calls cancel at its end.
type watched struct {
	io.ReadWriteCloser
	end func()
}

func (w watched) Read(p []byte) (n int, err error) {
	if n, err = w.ReadWriteCloser.Read(p); err != nil {
		w.end()
	}
	return n, err
}

// Request is a call of any port, with the arguments of the operation. Request and Reply are exported for net/rpc only.
type Request struct {
	Call     uint64
	Op       string
	ID, Key  string
	Text     string // shard, content type, filename or trace
	Place    string
	Image    imagery.Image
	To       imagery.Image
	Time     time.Time
	From     time.Time
	Duration time.Duration
	N        int64
	Offset   int64 // offset of a body
	Body     []byte
	Messages []imagery.Message
}

// Reply is the reply to a Request.
type Reply struct {
	Image    imagery.Image
	Pending  []imagery.Pending
	Text     string
	Body     []byte
	Messages []imagery.Message
	Limits   imagery.Limits
	Failed   bool
	Error    string
	Is       int // 1 + index of the error in known, or 0
}

// known has the errors that callers distinguish.
var known = []error{
	imagery.ErrNotFound, imagery.ErrDenied, imagery.ErrExists, imagery.ErrConflict,
	context.Canceled, context.DeadlineExceeded,
}

type portServer struct {
	ctx   context.Context // of the connection
	ports Ports
	mu    sync.Mutex
	calls map[uint64]*call
}

// call is the context of a pending call.
type call struct {
	ctx    context.Context
	cancel context.CancelFunc
}

// begin returns the call with that number and creates it if necessary: a cancellation may arrive before its call.
func (s *portServer) begin(n uint64) *call {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.calls[n] == nil {
		ctx, cancel := context.WithCancel(s.ctx)
		s.calls[n] = &call{ctx, cancel}
	}
	return s.calls[n]
}

// Cancel ends the context of a call. net/rpc requires the signature.
func (s *portServer) Cancel(n uint64, _ *bool) error {
	s.begin(n).cancel()
	return nil
}

// Do executes a call. It always returns nil; the error of the port is in the reply.
func (s *portServer) Do(r *Request, out *Reply) error {
	c := s.begin(r.Call)
	defer c.cancel()
	err := s.do(c.ctx, r, out)
	if err == nil {
		return nil
	}
	out.Failed, out.Error = true, err.Error()
	for i, k := range known {
		if errors.Is(err, k) {
			out.Is = i + 1
		}
	}
	return nil
}

func (s *portServer) do(ctx context.Context, r *Request, out *Reply) (err error) {
	p, queue := s.ports, s.ports.Queue
	if r.Key == "dead" {
		queue = p.DeadLetters
	}
	switch r.Op {
	case "Create":
		return p.Catalog.Create(ctx, r.Image, r.Time)
	case "Get":
		out.Image, err = p.Catalog.Get(ctx, r.ID)
	case "Move":
		return p.Catalog.Move(ctx, r.Image, r.To)
	case "Touch":
		return p.Catalog.Touch(ctx, r.Image, r.Time)
	case "Pending":
		out.Pending, out.Text, err = p.Catalog.Pending(ctx, r.Text, r.From, r.Time, r.Place, int(r.N))
	case "Lease":
		held, err := p.Catalog.Lease(ctx, r.ID, r.Key, r.From, r.Time)
		if held {
			out.Text = leaseHeld
		}
		return err
	case "Catalog.Ping":
		return p.Catalog.Ping(ctx)
	case "Put":
		body := bytes.NewReader(r.Body)
		body.Seek(r.Offset, io.SeekStart)
		return p.Blobs.Put(ctx, r.Key, r.Text, body, r.N)
	case "Blobs.Get":
		out.Body, err = p.Blobs.Get(ctx, r.Key, r.N)
	case "Link":
		out.Text, out.Body, err = follow(p.Blobs.Link(ctx, r.Key, r.Text))
	case "Blobs.Ping":
		return p.Blobs.Ping(ctx)
	case "Send":
		return queue.Send(ctx, r.Body, r.Text)
	case "Receive":
		out.Messages, err = queue.Receive(ctx, int(r.N), r.Duration)
	case "Extend":
		out.Messages, err = queue.Extend(ctx, r.Duration, r.Messages...)
	case "Delete":
		return queue.Delete(ctx, r.Messages...)
	case "Limits":
		out.Limits, err = queue.Limits(ctx)
	default:
		return fmt.Errorf("no operation %q", r.Op)
	}
	return err
}

// follow reads the object of a link without a URL.
func follow(link imagery.Link, err error) (string, []byte, error) {
	if err != nil || link.Body == nil {
		return link.URL, nil, err
	}
	body, err := io.ReadAll(link.Body)
	return "", body, errors.Join(err, link.Body.Close())
}
