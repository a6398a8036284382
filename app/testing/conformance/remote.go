package conformance

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"reflect"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
)

// Ports are the ports through which processes coordinate. As an http.Handler they serve the ports that Dial returns in
// another process.
type Ports struct {
	Catalog     imagery.Catalog
	Queue       imagery.Queue
	DeadLetters imagery.Queue
}

// request is a call of a port, without its context.
type request struct {
	Port, Method string
	Args         []any
}

// reply has the results of a call, without its error.
type reply struct {
	Results []any
	Error   string // "" for none
	Is      int    // 1 + index of the error in known, or 0
}

func init() {
	for _, v := range []any{imagery.Image{}, imagery.Limits{}, []imagery.Message{}, []imagery.Pending{}, time.Time{},
		time.Duration(0)} {
		gob.Register(v)
	}
}

// known has the errors that callers distinguish.
var known = []error{
	imagery.ErrNotFound, imagery.ErrDenied, imagery.ErrExists, imagery.ErrConflict,
	context.Canceled, context.DeadlineExceeded,
}

// ServeHTTP makes one call. The context of the call ends when the caller gives up.
func (p Ports) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var in request
	if err := gob.NewDecoder(r.Body).Decode(&in); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	method := reflect.ValueOf(p).FieldByName(in.Port).MethodByName(in.Method)
	args := []reflect.Value{reflect.ValueOf(r.Context())}
	for _, a := range in.Args {
		args = append(args, reflect.ValueOf(a))
	}
	call := method.Call
	if method.Type().IsVariadic() {
		call = method.CallSlice
	}
	results := call(args)
	last := len(results) - 1
	var out reply
	for _, v := range results[:last] {
		out.Results = append(out.Results, v.Interface())
	}
	if err, ok := results[last].Interface().(error); ok {
		out.Error = err.Error()
		for i, k := range known {
			if errors.Is(err, k) {
				out.Is = i + 1
			}
		}
	}
	_ = gob.NewEncoder(w).Encode(out) // a caller that is gone needs no reply
}

// Serve serves ports to the process that called Spawn, until that closes the pipe or dies.
func Serve(p Ports) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(listener, p)
	fmt.Printf("http://%s\n", listener.Addr())
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

// Spawn starts the test binary again as a process that serves ports, and returns these ports. TestMain must check env
// and call Serve. The process ends with the test.
func Spawn(t testing.TB, env ...string) Ports {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	// By default the race detector delays the end of a process by a second.
	cmd.Env = append(append([]string{"GORACE=atexit_sleep_ms=0"}, os.Environ()...), env...)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		in.Close() // it reads the end of its input and stops
		if err := cmd.Wait(); err != nil {
			t.Errorf("process that serves ports: %v", err)
		}
	})
	url, err := bufio.NewReader(out).ReadString('\n')
	must(t, err)
	return Dial(strings.TrimSpace(url))
}

// Dial returns the ports that another process serves at a URL.
func Dial(url string) Ports {
	return Ports{
		Catalog: remoteCatalog{remote{url, "Catalog"}}, Queue: remoteQueue{remote{url, "Queue"}},
		DeadLetters: remoteQueue{remote{url, "DeadLetters"}},
	}
}

// remote is a port of another process.
type remote struct{ url, port string }

// call makes a call and returns its results. It returns the error of ctx as soon as ctx ends.
func (r remote) call(ctx context.Context, method string, args ...any) ([]any, error) {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(request{r.port, method, args}); err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, r.url, &body)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, fmt.Errorf("process that serves ports: %w", err)
	}
	defer res.Body.Close()
	var out reply
	if err := gob.NewDecoder(res.Body).Decode(&out); err != nil {
		return nil, fmt.Errorf("process that serves ports: %w", err)
	}
	switch {
	case out.Is > 0:
		err = fmt.Errorf("%s: %w", out.Error, known[out.Is-1])
	case out.Error != "":
		err = errors.New(out.Error)
	}
	return out.Results, err
}

// act is call for methods that return only an error.
func (r remote) act(ctx context.Context, method string, args ...any) error {
	_, err := r.call(ctx, method, args...)
	return err
}

// first returns the first result of a call.
func first[T any](results []any, err error) (v T, _ error) {
	if len(results) > 0 {
		v = results[0].(T)
	}
	return v, err
}

type remoteCatalog struct{ remote }

func (c remoteCatalog) Create(ctx context.Context, img imagery.Image, now time.Time) error {
	return c.act(ctx, "Create", img, now)
}

func (c remoteCatalog) Get(ctx context.Context, id string) (imagery.Image, error) {
	return first[imagery.Image](c.call(ctx, "Get", id))
}

func (c remoteCatalog) Move(ctx context.Context, from, to imagery.Image) error {
	return c.act(ctx, "Move", from, to)
}

func (c remoteCatalog) Touch(ctx context.Context, img imagery.Image, hinted time.Time) error {
	return c.act(ctx, "Touch", img, hinted)
}

func (c remoteCatalog) Pending(
	ctx context.Context, shard string, from, to time.Time, after string, limit int,
) ([]imagery.Pending, string, error) {
	results, err := c.call(ctx, "Pending", shard, from, to, after, limit)
	if err != nil {
		return nil, "", err
	}
	return results[0].([]imagery.Pending), results[1].(string), nil
}

func (c remoteCatalog) Lease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	return first[bool](c.call(ctx, "Lease", name, holder, now, until))
}

func (c remoteCatalog) Ping(ctx context.Context) error { return c.act(ctx, "Ping") }

type remoteQueue struct{ remote }

func (q remoteQueue) Send(ctx context.Context, body []byte, trace string) error {
	return q.act(ctx, "Send", body, trace)
}

// Receive is called with contexts that end only when all messages were received: one that the other process receives
// then is lost until its visibility timeout.
func (q remoteQueue) Receive(ctx context.Context, max int, wait time.Duration) ([]imagery.Message, error) {
	list, err := first[[]imagery.Message](q.call(ctx, "Receive", max, wait))
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return nil, nil
	}
	return list, err
}

func (q remoteQueue) Extend(ctx context.Context, d time.Duration, ms ...imagery.Message) ([]imagery.Message, error) {
	return first[[]imagery.Message](q.call(ctx, "Extend", d, ms))
}

func (q remoteQueue) Delete(ctx context.Context, ms ...imagery.Message) error {
	return q.act(ctx, "Delete", ms)
}

func (q remoteQueue) Limits(ctx context.Context) (imagery.Limits, error) {
	return first[imagery.Limits](q.call(ctx, "Limits"))
}
