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
	passing    bool                // a pass is under way
}

// actor is one strand of a process: a request, a delivery, a reconciler pass. It is a coroutine that stands
// still at every port call until the scheduler picks it, so that exactly one actor runs at any time.
type actor struct {
	name   string
	kind   string
	proc   *process
	next   func() (struct{}, bool)
	stop   func()
	yield  func(struct{}) bool
	call   *call // what it stands at
	answer error // what that call will return
	ended  bool
	dead   bool      // its process died: it must not reach another port
	asleep time.Time // it is not picked before: a long pause, or a frozen machine
	op     *operation
}

// crashed unwinds an actor whose process died.
type crashed struct{}

// spawn starts an actor, which stands at its first port call when spawn returns.
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

// resume lets the actor run to its next port call, or to its end.
func (w *world) resume(a *actor) {
	w.running = a
	a.next()
	w.running = nil
	w.bury()
}

// bury forgets the actors that ended.
func (w *world) bury() {
	kept := w.actors[:0]
	for _, a := range w.actors {
		if !a.ended {
			kept = append(kept, a)
		}
	}
	clear(w.actors[len(kept):])
	w.actors = kept
}

// kill ends all actors of a process at the calls where they stand, or just behind the effects of those.
func (w *world) kill(p *process) {
	for _, a := range append([]*actor(nil), w.actors...) {
		if a.proc != p {
			continue
		}
		if a.call.effect != nil && w.src.chance(1, 2) {
			_ = a.call.effect() // nobody is left to hear the answer
			w.note("%s dies after its call %s %s", a.name, a.call.what, a.call.subject)
			w.seen["died after the effect"]++
		} else {
			w.note("%s dies before its call %s %s", a.name, a.call.what, a.call.subject)
			w.seen["died before the effect"]++
		}
		if a.call.point != "" {
			w.seen["died at "+string(a.call.point)]++
		}
		w.unwind(a)
	}
}

// unwind runs nothing of an actor but its deferred functions, which reach no port.
func (w *world) unwind(a *actor) {
	a.dead, w.running = true, a
	a.stop()
	a.ended, w.running = true, nil
	w.bury()
}

// fate is what becomes of a port call.
type fate int

const (
	plain    fate = iota
	refused       // no effect, an error
	lost          // the effect, and an error
	repeated      // the adapter did not hear the answer and called again: the effect twice, the second answer
	late          // an error, and the effect some time later
	ignored       // no effect, and success: at least once is all that a queue promises for an acknowledgement
	odd           // no effect, and an error that says something untrue
)

var fateNames = []string{"ok", "refused", "answer lost", "repeated", "late", "ignored", "odd answer"}

// Fates by kind of call.
var (
	ofReads  = []fate{refused}
	ofWrites = []fate{refused, lost, repeated, late}
	ofAcks   = []fate{refused, lost, late, ignored}
)

// call is one use of a port. Its effect happens when the scheduler picks the actor.
type call struct {
	service int // which dependency it needs, see away
	what    string
	subject string
	effect  func() error // nil for a call that is only a place to stop at
	fates   []fate       // what else may become of it
	odds    []error
	point   imagery.Failpoint
	by      *actor
}

// do hands control to the scheduler and returns the call's answer.
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

// run lets one actor have its call answered and go on to the next one.
func (w *world) run(a *actor) {
	c := a.call
	f := w.fateOf(c)
	before := w.seq
	switch f {
	case plain:
		a.answer = nil
		if c.effect != nil {
			a.answer = c.effect()
		}
	case refused:
		a.answer = errMoment
	case lost:
		_ = c.effect()
		a.answer = errMoment
	case repeated:
		_ = c.effect()
		a.answer = c.effect()
	case late:
		w.late = append(w.late, c)
		a.answer = errMoment
	case ignored:
		a.answer = nil
	case odd:
		a.answer = c.odds[w.src.below(len(c.odds))]
	}
	if f != plain {
		a.op.faults++
		w.seen[fateNames[f]]++
	}
	if w.tracing {
		w.traceCall(a, c, f, before)
	}
	w.resume(a)
}

func (w *world) fateOf(c *call) fate {
	if len(c.fates) == 0 || w.healed {
		return plain
	}
	if w.now.Before(w.away[c.service]) {
		w.seen["refused in an outage"]++
		return refused
	}
	if !w.src.chance(w.cfg.faults, 256) {
		return plain
	}
	return c.fates[w.src.below(len(c.fates))]
}

// errMoment is a bad moment of a dependency. Its text must never reach a user.
var errMoment = errors.New("injected")
