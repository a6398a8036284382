package fakeaws

import (
	"bytes"
	"encoding/json"
	"io"
	"math"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"
)

// Edge is the network in front of the emulators. It records every call and injects faults. Requests are read in
// full first, so that a fault never depends on how much of one has arrived.
type Edge struct {
	tables, objects, queues http.Handler

	mu       sync.Mutex
	calls    []Call
	ordinals map[Call]int // by caller, service and operation
	hook     func(Call) Fault
	injected map[Kind]int
	closed   chan struct{}
}

func newEdge(tables, objects, queues http.Handler) *Edge {
	return &Edge{tables: tables, objects: objects, queues: queues,
		ordinals: map[Call]int{}, injected: map[Kind]int{}, closed: make(chan struct{})}
}

func (e *Edge) close() { close(e.closed) }

// Calls are all calls so far, in the order of their arrival. Repeated attempts are calls of their own.
func (e *Edge) Calls() []Call {
	e.mu.Lock()
	defer e.mu.Unlock()
	return slices.Clone(e.calls)
}

// Clear forgets the calls and faults so far and removes the hook.
func (e *Edge) Clear() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.calls, e.ordinals, e.injected, e.hook = nil, map[Call]int{}, map[Kind]int{}, nil
}

// Inject lets the hook choose a fault for every call from now on; nil ends it. It may be called from many
// goroutines at once.
func (e *Edge) Inject(hook func(Call) Fault) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hook = hook
}

// Injected counts the faults that calls were really hit by.
func (e *Edge) Injected(k Kind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.injected[k]
}

// ServeHTTP records the call and lets it through, or not.
func (e *Edge) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client gave up before it had sent everything
	}
	call := callOf(r, body)
	e.mu.Lock()
	counter := Call{Caller: call.Caller, Service: call.Service, Operation: call.Operation}
	e.ordinals[counter]++
	call.Ordinal = e.ordinals[counter]
	e.calls = append(e.calls, call)
	hook := e.hook
	e.mu.Unlock()
	if hook != nil {
		if f := hook(call); f.Kind != Pass && e.hit(w, r, call, body, f) {
			return
		}
	}
	e.forward(w, r, call, body)
}

// hit injects the fault and reports whether the client has had its answer, or lack of one.
func (e *Edge) hit(w http.ResponseWriter, r *http.Request, call Call, body []byte, f Fault) bool {
	e.mu.Lock()
	e.injected[f.Kind]++
	e.mu.Unlock()
	switch f.Kind {
	case Silence:
		select {
		case <-r.Context().Done():
		case <-e.closed:
		}
		panic(http.ErrAbortHandler)
	case Reset:
		reset(w)
	case AnswerLost:
		e.answer(r, call, body)
		reset(w)
	case Twice:
		e.answer(r, call, body)
		return false
	case Late:
		if call.Operation == "SendMessage" {
			e.forward(w, r, call, delayed(body, f.Delay))
			return true
		}
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		}
		return false
	default:
		fail(w, call, f.Kind)
	}
	return true
}

// forward serves the call by its emulator. What has begun is finished when the client is gone, as AWS does; only
// a poll ends with its client.
func (e *Edge) forward(w http.ResponseWriter, r *http.Request, call Call, body []byte) {
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	map[string]http.Handler{"dynamodb": e.tables, "s3": e.objects, "sqs": e.queues}[call.Service].ServeHTTP(w, r)
}

// answer serves the call and keeps the answer from the client. The recorder cannot be told from a client, so that
// the effect is the same as if the answer had been sent.
func (e *Edge) answer(r *http.Request, call Call, body []byte) {
	serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { e.forward(w, r, call, body) }), r)
}

// reset ends the connection with a TCP reset.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // else the close is a polite one
	}
	_ = conn.Close()
}

// delayed is a SendMessage whose message is delivered later.
func delayed(body []byte, d time.Duration) []byte {
	var in map[string]any
	if json.Unmarshal(body, &in) != nil {
		return body
	}
	in["DelaySeconds"] = int(math.Ceil(d.Seconds()))
	out, _ := json.Marshal(in)
	return out
}
