package conformance

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/rpc"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"imagery/app/imagery"
)

// Spawn starts the test binary again as a process that serves ports, and returns these ports. TestMain must check env
// and call ServeStdio. The process ends with the test.
func Spawn(t testing.TB, env ...string) Ports {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	// By default the race detector delays the end of a process by a second.
	cmd.Env = append(append([]string{"GORACE=atexit_sleep_ms=0"}, os.Environ()...), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close() // it reads the end of its input and stops
		if err := cmd.Wait(); err != nil {
			t.Errorf("process that serves ports: %v", err)
		}
	})
	return Dial(pipes{out, in})
}

// ServeStdio serves ports to the process that called Spawn, until it closes the pipe or dies.
func ServeStdio(p Ports) error { return Serve(pipes{os.Stdin, os.Stdout}, p) }

// pipes combines two pipes into one connection.
type pipes struct {
	io.ReadCloser
	io.WriteCloser
}

func (p pipes) Close() error { return errors.Join(p.WriteCloser.Close(), p.ReadCloser.Close()) }

// Dial returns the ports that Serve serves at the other end of conn.
func Dial(conn io.ReadWriteCloser) Ports {
	c := &client{rpc: rpc.NewClient(conn)}
	return Ports{
		Catalog: remoteCatalog{c}, Blobs: remoteBlobs{c},
		Queue: remoteQueue{c, "live"}, DeadLetters: remoteQueue{c, "dead"},
	}
}

type client struct {
	rpc   *rpc.Client
	calls atomic.Uint64
}

// do sends a request and waits for the reply even if ctx has ended, so that the effect in the other process is known.
func (c *client) do(ctx context.Context, r Request) (*Reply, error) {
	r.Call = c.calls.Add(1)
	var out Reply
	call := c.rpc.Go("Ports.Do", &r, &out, make(chan *rpc.Call, 1))
	select {
	case <-call.Done:
	case <-ctx.Done():
		c.rpc.Go("Ports.Cancel", r.Call, new(bool), make(chan *rpc.Call, 1))
		<-call.Done
	}
	if call.Error != nil {
		return &out, fmt.Errorf("process that serves ports: %w", call.Error)
	}
	if !out.Failed {
		return &out, nil
	}
	if out.Is > 0 {
		return &out, fmt.Errorf("%s: %w", out.Error, known[out.Is-1])
	}
	return &out, errors.New(out.Error)
}

type remoteCatalog struct{ *client }

func (c remoteCatalog) Create(ctx context.Context, img imagery.Image, now time.Time) error {
	_, err := c.do(ctx, Request{Op: "Create", Image: img, Time: now})
	return err
}

func (c remoteCatalog) Get(ctx context.Context, id string) (imagery.Image, error) {
	out, err := c.do(ctx, Request{Op: "Get", ID: id})
	return out.Image, err
}

func (c remoteCatalog) Move(ctx context.Context, from, to imagery.Image) error {
	_, err := c.do(ctx, Request{Op: "Move", Image: from, To: to})
	return err
}

func (c remoteCatalog) Touch(ctx context.Context, img imagery.Image, hinted time.Time) error {
	_, err := c.do(ctx, Request{Op: "Touch", Image: img, Time: hinted})
	return err
}

func (c remoteCatalog) Pending(
	ctx context.Context, shard string, from, to time.Time, after string, limit int,
) ([]imagery.Pending, string, error) {
	out, err := c.do(ctx, Request{Op: "Pending", Text: shard, From: from, Time: to, Place: after, N: int64(limit)})
	return out.Pending, out.Text, err
}

// leaseHeld is the text of a successful reply.
const leaseHeld = "held"

func (c remoteCatalog) Lease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	out, err := c.do(ctx, Request{Op: "Lease", ID: name, Key: holder, From: now, Time: until})
	return out.Text == leaseHeld, err
}

func (c remoteCatalog) Ping(ctx context.Context) error {
	_, err := c.do(ctx, Request{Op: "Catalog.Ping"})
	return err
}

type remoteBlobs struct{ *client }

func (b remoteBlobs) Put(ctx context.Context, key, contentType string, body io.ReadSeeker, size int64) error {
	offset, err := body.Seek(0, io.SeekCurrent)
	if err != nil {
		return err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	var all bytes.Buffer
	if _, err := all.ReadFrom(body); err != nil {
		return err
	}
	_, err = b.do(ctx, Request{Op: "Put", Key: key, Text: contentType, Body: all.Bytes(), Offset: offset, N: size})
	return err
}

func (b remoteBlobs) Get(ctx context.Context, key string, limit int64) ([]byte, error) {
	out, err := b.do(ctx, Request{Op: "Blobs.Get", Key: key, N: limit})
	return out.Body, err
}

// bytesBody is an object that was sent over the connection.
type bytesBody struct{ *bytes.Reader }

// Close implements io.Closer.
func (bytesBody) Close() error { return nil }

func (b remoteBlobs) Link(ctx context.Context, key, filename string) (imagery.Link, error) {
	out, err := b.do(ctx, Request{Op: "Link", Key: key, Text: filename})
	if err != nil || out.Text != "" {
		return imagery.Link{URL: out.Text}, err
	}
	return imagery.Link{Body: bytesBody{bytes.NewReader(out.Body)}}, nil
}

func (b remoteBlobs) Ping(ctx context.Context) error {
	_, err := b.do(ctx, Request{Op: "Blobs.Ping"})
	return err
}

type remoteQueue struct {
	*client
	which string
}

func (q remoteQueue) Send(ctx context.Context, body []byte, trace string) error {
	_, err := q.do(ctx, Request{Op: "Send", Key: q.which, Body: body, Text: trace})
	return err
}

func (q remoteQueue) Receive(ctx context.Context, max int, wait time.Duration) ([]imagery.Message, error) {
	out, err := q.do(ctx, Request{Op: "Receive", Key: q.which, N: int64(max), Duration: wait})
	return out.Messages, err
}

func (q remoteQueue) Extend(ctx context.Context, d time.Duration, ms ...imagery.Message) ([]imagery.Message, error) {
	out, err := q.do(ctx, Request{Op: "Extend", Key: q.which, Duration: d, Messages: ms})
	return out.Messages, err
}

func (q remoteQueue) Delete(ctx context.Context, ms ...imagery.Message) error {
	_, err := q.do(ctx, Request{Op: "Delete", Key: q.which, Messages: ms})
	return err
}

func (q remoteQueue) Limits(ctx context.Context) (imagery.Limits, error) {
	out, err := q.do(ctx, Request{Op: "Limits", Key: q.which})
	return out.Limits, err
}
