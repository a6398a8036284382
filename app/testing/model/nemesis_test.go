package model

import (
	"slices"
	"time"

	"imagery/app/imagery"
)

// The nemesis acts between the calls of the actors. Each function does one thing, or reports false when
// there is nothing to do it to.

// events are the possible events of a step with their weights. A draw of 0 means the first.
var events = []struct {
	name   string
	weight int
	happen func(*world) bool
}{
	{"call", 200, (*world).stepActor},
	{"client", 14, always((*world).client)},
	{"worker", 24, (*world).startWorker},
	{"reconciler", 6, (*world).reconcile},
	{"second leader", 1, always((*world).repair)},
	{"leader resigns", 1, (*world).resign},
	{"redrive", 2, (*world).redrive},
	{"requeue", 1, always((*world).requeue)},
	{"time passes", 6, (*world).advanceClock},
	{"actor sleeps", 6, (*world).fallAsleep},
	{"message again", 3, (*world).duplicate},
	{"message late", 2, (*world).delay},
	{"message lost", 2, (*world).loseMessage},
	{"purge", 1, (*world).purge},
	{"foreign message", 2, always((*world).foreignMessage)},
	{"late effect", 6, (*world).applyLate},
	{"index follows", 4, (*world).updateIndex},
	{"item expires", 3, (*world).expire},
	{"outage", 1, (*world).outage},
	{"original vanishes", 1, (*world).removeOriginal},
}

var eventWeights = func() (sum int) {
	for _, e := range events {
		sum += e.weight
	}
	return sum
}()

// requiredEvents lists everything that must happen in a run of full size.
func requiredEvents() []string {
	words := []string{"accepted", "taken", "conflict", "died before the effect", "died after the effect",
		"refused in an outage", "dead letter",
		"dead letter explained", "hint sent again", "brought back", "not the leader", "receive count late", "job failed"}
	for _, e := range events {
		words = append(words, e.name)
	}
	words = append(words, outcomeNames[1:]...)
	for _, p := range imagery.Failpoints {
		words = append(words, "died at "+string(p))
	}
	for from, moves := range legal {
		for to := range moves {
			words = append(words, string(from)+" to "+string(to))
		}
	}
	for _, o := range []imagery.Outcome{imagery.Done, imagery.AlreadyDone, imagery.PermanentFailure, imagery.NoWork} {
		words = append(words, "job "+string(o))
	}
	return words
}

func always(f func(*world)) func(*world) bool {
	return func(w *world) bool { f(w); return true }
}

// maxActors bounds the concurrent actors; with more of them, interesting orders become rarer.
const maxActors = 8

// step lets one event happen.
func (w *world) step() {
	w.steps++
	w.now = w.now.Add(time.Duration(w.src.intn(20)) * time.Millisecond)
	if w.src.chance(w.cfg.crashes, 256) {
		w.crash()
	} else {
		w.event()
	}
	w.check()
}

func (w *world) event() {
	draw := w.src.intn(eventWeights)
	for _, e := range events {
		if draw -= e.weight; draw < 0 {
			if e.happen(w) {
				w.seen[e.name]++
			} else {
				w.stepActor()
			}
			return
		}
	}
}

// stepActor lets a random actor that is awake take its next step.
func (w *world) stepActor() bool {
	awake := make([]*actor, 0, maxActors)
	for _, a := range w.actors {
		if !w.now.Before(a.asleep) {
			awake = append(awake, a)
		}
	}
	if len(awake) == 0 {
		return w.startActor()
	}
	w.run(awake[w.src.intn(len(awake))])
	return true
}

// startActor starts an actor, for worlds in which none is awake.
func (w *world) startActor() bool {
	switch w.src.intn(8) {
	case 1, 2:
		w.client()
	case 3, 4, 5, 6:
		return w.startWorker()
	case 7:
		return w.advanceClock()
	}
	return true
}

func (w *world) startWorker() bool {
	if len(w.actors) >= maxActors || len(w.queue.waiting()) == 0 {
		return false
	}
	w.worker()
	return true
}

// crash kills a process with everything that runs in it, and starts it again at once.
func (w *world) crash() {
	all := append(append(slices.Clone(w.servers), w.workers...), w.console)
	p := all[w.src.intn(len(all))]
	w.tracef("%s is killed", p.name)
	w.kill(p)
	p.restart()
	p.skew = w.skew()
}

// timeSteps are relevant durations: a visibility timeout, the intervals between hints, the lifetimes of an id without a
// photo and of an original.
var timeSteps = []time.Duration{time.Second, 10 * time.Second, visibility, 2 * time.Minute, resendAfter,
	11 * time.Minute, time.Hour,
	7 * time.Hour, 25 * time.Hour, uploadLife + time.Hour}

// advanceClock lets time pass. Workers that are awake extend their messages for up to a minute.
func (w *world) advanceClock() bool {
	d := timeSteps[w.src.intn(1+w.src.intn(len(timeSteps)))]
	w.tracef("%s pass", d)
	w.now = w.now.Add(d)
	for _, a := range w.actors {
		if d := a.op.delivery; d != nil && w.now.Sub(d.kept) < 2*time.Minute && !w.now.Before(a.asleep) &&
			w.src.chance(2, 3) {
			w.heartbeat(d)
		}
	}
	return true
}

// heartbeat extends the message of a delivery, if the worker still holds it.
func (w *world) heartbeat(d *delivery) {
	for _, m := range w.queue.messages {
		if m.Receipt == d.receipt {
			m.visible = w.now.Add(visibility)
			d.kept, d.lost = w.now, false
			return
		}
	}
	d.lost = true
}

// fallAsleep stops an actor for a while, like a pause of its runtime, a frozen machine or a slow disk.
func (w *world) fallAsleep() bool {
	if len(w.actors) == 0 {
		return false
	}
	a := w.actors[w.src.intn(len(w.actors))]
	a.asleep = w.now.Add([]time.Duration{time.Second, visibility, 10 * time.Minute, 2 * time.Hour}[w.src.intn(4)])
	w.tracef("%s sleeps for %s", a.name, a.asleep.Sub(w.now))
	return true
}

// applyLate lets an effect happen whose caller gave up long ago.
func (w *world) applyLate() bool {
	if len(w.late) == 0 {
		return false
	}
	i := w.src.intn(len(w.late))
	c := w.late[i]
	w.late = slices.Delete(w.late, i, i+1)
	err := c.effect()
	w.tracef("%s of %s arrives late: %v", c.what, c.by.name, err)
	return true
}

func (w *world) updateIndex() bool {
	w.reindex(w.rows[w.src.intn(len(w.rows))])
	return true
}

// expire deletes an item some time after its expiry, as the table does.
func (w *world) expire() bool {
	r := w.rows[w.src.intn(len(w.rows))]
	if m := r.last(); !m.exists || m.img.Expires.IsZero() || w.now.Before(m.img.Expires) {
		return false
	}
	w.set(r, false, imagery.Image{})
	w.tracef("%s expires", r.id)
	return true
}

// outage makes a service unavailable for up to ten minutes.
func (w *world) outage() bool {
	if w.cfg.faults == 0 {
		return false
	}
	s := w.src.intn(nothing)
	d := timeSteps[w.src.intn(6)]
	w.away[s] = w.now.Add(d)
	w.tracef("%s is away for %s", []string{"the table", "the bucket", "the queue"}[s], d)
	return true
}

// removeOriginal removes the original of an image.
func (w *world) removeOriginal() bool {
	m := w.rows[w.src.intn(len(w.rows))].last()
	if _, ok := w.objects[m.img.RawKey]; !w.cfg.originals || !ok {
		return false
	}
	delete(w.objects, m.img.RawKey)
	w.removed[m.img.RawKey] = true
	w.tracef("%s vanishes", m.img.RawKey)
	return true
}
