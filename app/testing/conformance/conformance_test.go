package conformance_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/conformance"
	"imagery/app/testing/memory"
)

// The ports in memory pass the suites, here and from the other end of a connection. Their catalog has no
// attributes to set or read.
func TestMemory(t *testing.T) {
	queue := func(serve func(t *testing.T, p conformance.Ports) conformance.Ports) func(*testing.T, int,
		imagery.Limits) conformance.QueueStorage {
		return func(t *testing.T, n int, l imagery.Limits) (s conformance.QueueStorage) {
			q, dead := memory.NewQueue(l)
			for range n {
				p := serve(t, conformance.Ports{Queue: q, DeadLetters: dead})
				s.Handles, s.DeadLetters = append(s.Handles, p.Queue), append(s.DeadLetters, p.DeadLetters)
			}
			return s
		}
	}
	backend := func(name string, serve func(t *testing.T, p conformance.Ports) conformance.Ports) conformance.Target {
		return conformance.Target{
			Name: name, Visibility: 200 * time.Millisecond, Exact: true, Double: true,
			Catalog: func(t *testing.T, n int) (s conformance.CatalogStorage) {
				c := &memory.Catalog{}
				for range n {
					s.Handles = append(s.Handles, serve(t, conformance.Ports{Catalog: c}).Catalog)
				}
				return s
			},
			Blobs: func(t *testing.T, n int) (all []imagery.Blobs) {
				b := &memory.Blobs{}
				for range n {
					all = append(all, serve(t, conformance.Ports{Blobs: b}).Blobs)
				}
				return all
			},
			Queue: queue(serve),
		}
	}
	conformance.Run(t,
		backend("memory", func(_ *testing.T, p conformance.Ports) conformance.Ports { return p }),
		backend("remote", overPipe))
}

// A backend that proves nothing is red where everything is required, and only there.
func TestNothingIsSkippedSilently(t *testing.T) {
	if os.Getenv("SUITE_RUNS_EMPTY") != "" {
		reasons := map[string]string{"Blobs.Get: the limit": "for a reason"}
		conformance.Run(t, conformance.Target{Name: "empty", NotRun: reasons})
		return
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for require, wantRed := range map[string]bool{"": false, "1": true} {
		cmd := exec.Command(self, "-test.run=^TestNothingIsSkippedSilently$", "-test.v")
		cmd.Env = append(os.Environ(), "SUITE_RUNS_EMPTY=1", "REQUIRE_ALL="+require)
		out, err := cmd.CombinedOutput()
		if (err != nil) != wantRed || bytes.Contains(out, []byte("cells were not run")) != wantRed {
			t.Errorf("with REQUIRE_ALL=%q: %v\n%s", require, err, out)
		}
		if !bytes.Contains(out, []byte("for a reason")) {
			t.Errorf("the reason is not told:\n%s", out)
		}
	}
}

// overPipe is the ports as seen from the other end of a connection.
func overPipe(t *testing.T, p conformance.Ports) conformance.Ports {
	here, there := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- conformance.Serve(there, p) }()
	t.Cleanup(func() {
		here.Close()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return conformance.Dial(here)
}

// errBlobs answers with one error.
type errBlobs struct {
	imagery.Blobs
	err error
}

func (b errBlobs) Get(context.Context, string, int64) ([]byte, error) { return nil, b.err }

func TestErrorsKeepTheirIdentity(t *testing.T) {
	for _, want := range []error{
		imagery.ErrNotFound, imagery.ErrDenied, imagery.ErrExists, imagery.ErrConflict,
		context.Canceled, context.DeadlineExceeded,
	} {
		b := overPipe(t, conformance.Ports{Blobs: errBlobs{err: fmt.Errorf("object x: %w", want)}}).Blobs
		if _, err := b.Get(t.Context(), "x", 1); !errors.Is(err, want) {
			t.Errorf("%v came back as %v", want, err)
		}
	}
	b := overPipe(t, conformance.Ports{Blobs: errBlobs{err: io.ErrShortWrite}}).Blobs
	if _, err := b.Get(t.Context(), "x", 1); err == nil || err.Error() != io.ErrShortWrite.Error() {
		t.Errorf("a plain error came back as %v", err)
	}
}

// An end of the connection ends the calls under way: a server of ports does not outlive its client.
func TestServeEndsWithItsConnection(t *testing.T) {
	q, _ := memory.NewQueue(imagery.Limits{Visibility: time.Minute, MaxReceives: 1})
	here, there := net.Pipe()
	served := make(chan error, 1)
	go func() { served <- conformance.Serve(there, conformance.Ports{Queue: q}) }()
	ports := conformance.Dial(here)
	if _, err := ports.Queue.Limits(t.Context()); err != nil {
		t.Fatal(err)
	}
	received := make(chan error, 1)
	go func() {
		_, err := ports.Queue.Receive(context.Background(), 1, 10*time.Minute)
		received <- err
	}()
	here.Close()
	for _, end := range []chan error{received, served} {
		select {
		case <-end:
		case <-time.After(30 * time.Second):
			t.Fatal("a call outlives its connection")
		}
	}
}

func TestFaultsComeBeforeAndAfterTheEffect(t *testing.T) {
	away := errors.New("away")
	failing := ""
	hook := func(when string) func(op string) error {
		return func(op string) error {
			if failing == when+" "+op {
				return away
			}
			return nil
		}
	}
	faults := conformance.Faults{Before: hook("before"), After: hook("after")}
	objects := &memory.Blobs{}
	blobs := conformance.FaultyBlobs{Faults: faults, Blobs: objects}
	put := func() error { return blobs.Put(t.Context(), "k", "", bytes.NewReader([]byte("x")), 1) }

	failing = "before Put"
	if err := put(); !errors.Is(err, away) || len(objects.Keys()) != 0 {
		t.Errorf("a fault before: %v, objects %v", err, objects.Keys())
	}
	failing = "after Put"
	if err := put(); !errors.Is(err, away) || len(objects.Keys()) != 1 {
		t.Errorf("a fault after: %v, objects %v", err, objects.Keys())
	}
	failing = "after Get"
	if body, err := blobs.Get(t.Context(), "k", 9); !errors.Is(err, away) || body != nil {
		t.Errorf("an answer that is lost: %q, %v", body, err)
	}
	failing = "after Receive"
	q, _ := memory.NewQueue(imagery.Limits{Visibility: time.Minute, MaxReceives: 3})
	queue := conformance.FaultyQueue{Faults: faults, Queue: q}
	if err := queue.Send(t.Context(), []byte("m"), ""); err != nil {
		t.Fatal(err)
	}
	if list, err := queue.Receive(t.Context(), 1, 0); !errors.Is(err, away) || list != nil || q.Receipts != 1 {
		t.Errorf("a receive whose answer is lost: %v, %v after %d deliveries", list, err, q.Receipts)
	}
}

var (
	_ imagery.Catalog = conformance.FaultyCatalog{}
	_ imagery.Blobs   = conformance.FaultyBlobs{}
	_ imagery.Queue   = conformance.FaultyQueue{}
)
