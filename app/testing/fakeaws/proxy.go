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

// Proxy records every call to the emulators and injects faults. It reads each request completely first, so that a fault
// does not depend on how much of it has arrived.
type Proxy struct {
	tables, objects, queues http.Handler

	mu       sync.Mutex
	calls    []Call
	ordinals map[Call]int // by caller, service and operation
	hook     func(Call) Fault
	injected map[Kind]int
	closed   chan struct{}
}

func newProxy(tables, objects, queues http.Handler) *Proxy {
	return &Proxy{tables: tables, objects: objects, queues: queues,
		ordinals: map[Call]int{}, injected: map[Kind]int{}, closed: make(chan struct{})}
}

func (p *Proxy) close() { close(p.closed) }

// Calls returns all calls so far in the order of their arrival. Each attempt is a call.
func (p *Proxy) Calls() []Call {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.calls)
}

// Clear removes the hook and all recorded calls and faults.
func (p *Proxy) Clear() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.calls, p.ordinals, p.injected, p.hook = nil, map[Call]int{}, map[Kind]int{}, nil
}

// Inject sets the hook that chooses the fault of every call from now on; nil means no faults. The hook may be called by
// many goroutines at once.
func (p *Proxy) Inject(hook func(Call) Fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hook = hook
}

// Injected returns how many calls have got a fault of this kind.
func (p *Proxy) Injected(k Kind) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.injected[k]
}

// ServeHTTP records the call, and forwards it or injects a fault.
func (p *Proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the client gave up before it had sent everything
	}
	call := CallOf(r, body)
	p.mu.Lock()
	counter := Call{Caller: call.Caller, Service: call.Service, Operation: call.Operation}
	p.ordinals[counter]++
	call.Ordinal = p.ordinals[counter]
	p.calls = append(p.calls, call)
	hook := p.hook
	p.mu.Unlock()
	if hook != nil {
		if f := hook(call); f.Kind != None && p.hit(w, r, call, body, f) {
			return
		}
	}
	p.forward(w, r, call, body)
}

// hit injects the fault and reports whether the request is finished, with or without an answer.
func (p *Proxy) hit(w http.ResponseWriter, r *http.Request, call Call, body []byte, f Fault) bool {
	p.mu.Lock()
	p.injected[f.Kind]++
	p.mu.Unlock()
	switch f.Kind {
	case NoResponse:
		select {
		case <-r.Context().Done():
		case <-p.closed:
		}
		panic(http.ErrAbortHandler)
	case Reset:
		reset(w)
	case AnswerLost:
		p.answer(r, call, body)
		reset(w)
	case Twice:
		p.answer(r, call, body)
		return false
	case Late:
		if call.Operation == "SendMessage" {
			p.forward(w, r, call, delayed(body, f.Delay))
			return true
		}
		select {
		case <-time.After(f.Delay):
		case <-r.Context().Done():
		}
		return false
	default:
		Fail(w, call, f.Kind)
	}
	return true
}

// forward lets the emulator serve the call. A call is finished although its client is gone, as on AWS, except a long
// poll.
func (p *Proxy) forward(w http.ResponseWriter, r *http.Request, call Call, body []byte) {
	r = r.Clone(r.Context())
	r.Body, r.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
	map[string]http.Handler{"dynamodb": p.tables, "s3": p.objects, "sqs": p.queues}[call.Service].ServeHTTP(w, r)
}

// answer lets the emulator serve the call and drops the answer.
func (p *Proxy) answer(r *http.Request, call Call, body []byte) {
	serve(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.forward(w, r, call, body) }), r)
}

// reset closes the connection with a TCP reset.
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

// delayed returns a SendMessage request whose message is delivered later.
func delayed(body []byte, d time.Duration) []byte {
	var in map[string]any
	if json.Unmarshal(body, &in) != nil {
		return body
	}
	in["DelaySeconds"] = int(math.Ceil(d.Seconds()))
	out, _ := json.Marshal(in)
	return out
}
