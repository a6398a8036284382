package model

import (
	"errors"
	"fmt"
	"iter"
	"time"

	"imagery/app/imagery"
)

// process is a running server or worker, with a clock of its own.
type process struct {
	*imagery.Service
	name       string
	skew       time.Duration
	reconciler *imagery.Reconciler // of a worker; a restarted one has forgotten everything
	passing    bool                // a pass is running
	daemon     bool                // receives for this process
}

// actor is a request, a delivery or a reconciler pass in a process. It is a coroutine that stops at every port call
// until the scheduler selects it, so that exactly one actor runs at any time.
type actor struct {
	name   string
	kind   string
	proc   *process
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	call   *call // its present port call
	answer error // the answer of that call
	ended  bool
	dead   bool      // its process was killed: it must not reach another port
	asleep time.Time // it is not selected before: a long pause, or a frozen machine
	op     *operation
}

// crashed is the panic that ends an actor whose process was killed.
type crashed struct{}

// spawn starts an actor and runs it to its first port call.
func (w *world) spawn(p *process, kind string, body func(*actor)) *actor {
	w.spawned++
	a := &actor{proc: p, kind: kind, name: fmt.Sprint(p.name, " ", kind, w.spawned)}
	a.next, a.stop = iter.Pull(func(yield func(struct{}) bool) {
		defer func() {
			a.ended = true
			if v := recover(); v != nil && v != any(crashed{}) {
				panic(v)
			}
		}()
		a.yield = yield
		body(a)
	})
	w.actors = append(w.actors, a)
	w.resume(a)
	return a
}

// resume runs the actor to its next port call, or to its end.
func (w *world) resume(a *actor) {
	w.running = a
	a.next()
	w.running = nil
	w.removeEnded()
}

// removeEnded removes the actors that have ended.
func (w *world) removeEnded() {
	kept := w.actors[:0]
	for _, a := range w.actors {
		if !a.ended {
			kept = append(kept, a)
		}
	}
	clear(w.actors[len(kept):])
	w.actors = kept
}

// kill ends all actors of a process at their present calls, before or after the effects of these.
func (w *world) kill(p *process) {
	for _, a := range append([]*actor(nil), w.actors...) {
		if a.proc != p {
			continue
		}
		if a.call.effect != nil && w.src.chance(1, 2) {
			_ = a.call.effect() // the process is gone
			w.tracef("%s is killed after its call %s %s", a.name, a.call.what, a.call.subject)
			w.seen["died after the effect"]++
		} else {
			w.tracef("%s is killed before its call %s %s", a.name, a.call.what, a.call.subject)
			w.seen["died before the effect"]++
		}
		if a.call.point != "" {
			w.seen["died at "+string(a.call.point)]++
		}
		w.unwind(a)
	}
}

// unwind runs the deferred functions of an actor, which reach no port, and nothing else.
func (w *world) unwind(a *actor) {
	a.dead, w.running = true, a
	a.stop()
	a.ended, w.running = true, nil
	w.removeEnded()
}

// outcome says what happens to a port call.
type outcome int

const (
	normal     outcome = iota
	refused            // no effect, an error
	lost               // the effect, and an error
	repeated           // the adapter got no answer and called again: the effect twice, the second answer
	late               // an error, and the effect some time later
	ignored            // no effect, and success: a queue may deliver a deleted message again
	wrongError         // no effect, and an error that is not true
)

var outcomeNames = []string{"ok", "refused", "answer lost", "repeated", "late", "ignored", "wrong error"}

// Possible outcomes by kind of call, beside normal.
var (
	readOutcomes   = []outcome{refused}
	writeOutcomes  = []outcome{refused, lost, repeated, late}
	deleteOutcomes = []outcome{refused, lost, late, ignored}
)

// call is one use of a port. Its effect happens when the scheduler selects the actor.
type call struct {
	service     int // which dependency it needs, see away
	what        string
	subject     string
	effect      func() error // nil for a call without effect, where a process may be killed
	outcomes    []outcome    // beside normal
	wrongErrors []error
	point       imagery.Failpoint
	by          *actor
}

// do gives control to the scheduler and returns the answer of the call.
func (w *world) do(c call) error {
	a := w.running
	if a == nil || a.dead {
		panic(crashed{})
	}
	c.by = a
	a.call = &c
	if !a.yield(struct{}{}) {
		a.dead = true
		panic(crashed{})
	}
	return a.answer
}

// run answers the call of an actor and runs it to the next one.
func (w *world) run(a *actor) {
	c := a.call
	f := w.drawOutcome(c)
	before := w.seq
	switch f {
	case normal:
		a.answer = nil
		if c.effect != nil {
			a.answer = c.effect()
		}
	case refused:
		a.answer = errTransient
	case lost:
		_ = c.effect()
		a.answer = errTransient
	case repeated:
		_ = c.effect()
		a.answer = c.effect()
	case late:
		w.late = append(w.late, c)
		a.answer = errTransient
	case ignored:
		a.answer = nil
	case wrongError:
		a.answer = c.wrongErrors[w.src.intn(len(c.wrongErrors))]
	}
	if f != normal {
		a.op.faults++
		w.seen[outcomeNames[f]]++
	}
	if w.tracing {
		w.traceCall(a, c, f, before)
	}
	w.resume(a)
}

func (w *world) drawOutcome(c *call) outcome {
	if len(c.outcomes) == 0 || w.healed {
		return normal
	}
	if w.now.Before(w.away[c.service]) {
		w.seen["refused in an outage"]++
		return refused
	}
	if !w.src.chance(w.cfg.faults, 256) {
		return normal
	}
	return c.outcomes[w.src.intn(len(c.outcomes))]
}

// errTransient is a transient error of a dependency. Users must never see its text.
var errTransient = errors.New("injected")
