package model

import (
	"context"
	"slices"
	"strings"
	"time"

	"imagery/app/imagery"
)

// The weather is what happens to the world between the calls of its actors. Each function does one thing, or
// nothing and reports false when there is nothing to do it to.

// events are the choices of a step, each with its weight. The first is what a draw of 0 means.
var events = []struct {
	name   string
	weight int
	happen func(*world) bool
}{
	{"call", 200, (*world).someCall},
	{"client", 14, always((*world).client)},
	{"worker", 24, (*world).someWorker},
	{"reconciler", 6, (*world).reconcile},
	{"second leader", 1, always((*world).repair)},
	{"leader resigns", 1, (*world).resign},
	{"redrive", 2, (*world).redrive},
	{"requeue", 1, always((*world).requeue)},
	{"time passes", 6, (*world).jump},
	{"actor sleeps", 6, (*world).fallAsleep},
	{"message again", 3, (*world).duplicate},
	{"message late", 2, (*world).hide},
	{"message lost", 2, (*world).lose},
	{"purge", 1, (*world).purge},
	{"foreign message", 2, always((*world).foreign)},
	{"late effect", 6, (*world).arrive},
	{"index follows", 4, (*world).someFollow},
	{"item expires", 3, (*world).expire},
	{"outage", 1, (*world).outage},
	{"original vanishes", 1, (*world).vanish},
}

var eventWeights = func() (sum int) {
	for _, e := range events {
		sum += e.weight
	}
	return sum
}()

// vocabulary lists everything that must happen in a run of full size.
func vocabulary() []string {
	words := []string{"accepted", "taken", "conflict", "died before the effect", "died after the effect", "refused in an outage", "dead letter",
		"dead letter explained", "hint sent again", "brought back", "not the leader", "receive count late", "job failed"}
	for _, e := range events {
		words = append(words, e.name)
	}
	words = append(words, fateNames[1:]...)
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

// crowd bounds the actors that run at once: more of them only dilute the interesting orders.
const crowd = 8

// step lets one thing happen.
func (w *world) step() {
	w.steps++
	w.now = w.now.Add(time.Duration(w.src.below(20)) * time.Millisecond)
	if w.src.chance(w.cfg.crashes, 256) {
		w.crash()
	} else {
		w.event()
	}
	w.check()
}

func (w *world) event() {
	draw := w.src.below(eventWeights)
	for _, e := range events {
		if draw -= e.weight; draw < 0 {
			if e.happen(w) {
				w.seen[e.name]++
			} else {
				w.someCall()
			}
			return
		}
	}
}

// someCall lets one of the actors that are awake take its next step.
func (w *world) someCall() bool {
	awake := make([]*actor, 0, crowd)
	for _, a := range w.actors {
		if !w.now.Before(a.asleep) {
			awake = append(awake, a)
		}
	}
	if len(awake) == 0 {
		return w.beginSomething()
	}
	w.run(awake[w.src.below(len(awake))])
	return true
}

// beginSomething keeps a world busy in which nobody is awake.
func (w *world) beginSomething() bool {
	switch w.src.below(8) {
	case 1, 2:
		w.client()
	case 3, 4, 5, 6:
		return w.someWorker()
	case 7:
		return w.jump()
	}
	return true
}

func (w *world) someWorker() bool {
	if len(w.actors) >= crowd || len(w.queue.waiting()) == 0 {
		return false
	}
	w.worker()
	return true
}

// crash kills a process with all that runs in it. It is back at once, as a fresh process.
func (w *world) crash() {
	all := append(append(slices.Clone(w.servers), w.workers...), w.console)
	p := all[w.src.below(len(all))]
	w.note("%s is killed", p.name)
	w.kill(p)
	p.restart()
	p.skew = w.skew()
}

// jumps are spans that matter to somebody: a visibility timeout, the intervals between hints, the life of an id
// without bytes, the life of an original.
var jumps = []time.Duration{time.Second, 10 * time.Second, visibility, 2 * time.Minute, resendAfter, 11 * time.Minute, time.Hour,
	7 * time.Hour, 25 * time.Hour, uploadLife + time.Hour}

// jump lets time pass. Up to a minute the workers that are awake keep what they hold.
func (w *world) jump() bool {
	d := jumps[w.src.below(1+w.src.below(len(jumps)))]
	w.note("%s pass", d)
	w.now = w.now.Add(d)
	for _, a := range w.actors {
		if d := a.op.delivery; d != nil && w.now.Sub(d.kept) < 2*time.Minute && !w.now.Before(a.asleep) && w.src.chance(2, 3) {
			w.beat(d)
		}
	}
	return true
}

// beat is the heartbeat that a worker gave for a delivery in the span that just passed, if it still had it.
func (w *world) beat(d *delivery) {
	for _, m := range w.queue.messages {
		if m.Receipt == d.receipt {
			m.visible = w.now.Add(visibility)
			d.kept, d.lost = w.now, false
			return
		}
	}
	d.lost = true
}

// fallAsleep stops an actor for a while: a pause of its runtime, a frozen machine, a slow disk.
func (w *world) fallAsleep() bool {
	if len(w.actors) == 0 {
		return false
	}
	a := w.actors[w.src.below(len(w.actors))]
	a.asleep = w.now.Add([]time.Duration{time.Second, visibility, 10 * time.Minute, 2 * time.Hour}[w.src.below(4)])
	w.note("%s sleeps for %s", a.name, a.asleep.Sub(w.now))
	return true
}

// someMessage picks a message of the queue.
func (w *world) someMessage() *message {
	if len(w.queue.messages) == 0 {
		return nil
	}
	return w.queue.messages[w.src.below(len(w.queue.messages))]
}

// duplicate shows a message that somebody holds to others.
func (w *world) duplicate() bool {
	m := w.someMessage()
	if m == nil || !m.visible.After(w.now) {
		return false
	}
	m.visible = time.Time{}
	w.note("%s is delivered again", m.ID)
	return true
}

func (w *world) hide() bool {
	m := w.someMessage()
	if m == nil || m.visible.After(w.now) {
		return false
	}
	m.visible = w.now.Add(jumps[w.src.below(6)])
	w.note("%s is late", m.ID)
	return true
}

func (w *world) lose() bool {
	m := w.someMessage()
	if m == nil {
		return false
	}
	w.queue.remove(m)
	w.note("%s is lost", m.ID)
	return true
}

// purge throws a whole queue away.
func (w *world) purge() bool {
	q := w.queue
	if w.src.chance(1, 4) {
		q = w.dead
	}
	if len(q.messages) == 0 {
		return false
	}
	q.messages = nil
	w.note("%s is purged", q.name)
	return true
}

// foreign queues what anybody with access may send: no hint at all, one about nothing, and the book's, which
// has no key.
func (w *world) foreign() {
	id := w.rows[w.src.below(len(w.rows))].id
	body := []string{`{"imageId":"` + id + `","desiredState":"processed"}`, `{"imageId":"` + strings.ToUpper(id) + `","desiredState":"processed","more":1}`,
		`{"imageId":"ffffffff-ffff-4fff-8fff-ffffffffffff","desiredState":"processed"}`, `{"imageId":"` + id + `","desiredState":"resized"}`, `not a hint`}[w.src.below(5)]
	w.note("somebody sends %s", body)
	w.queue.push([]byte(body), "")
}

// arrive lets an effect happen whose caller gave up long ago.
func (w *world) arrive() bool {
	if len(w.late) == 0 {
		return false
	}
	i := w.src.below(len(w.late))
	c := w.late[i]
	w.late = slices.Delete(w.late, i, i+1)
	err := c.effect()
	w.note("%s of %s arrives late: %v", c.what, c.by.name, err)
	return true
}

func (w *world) someFollow() bool {
	w.follow(w.rows[w.src.below(len(w.rows))])
	return true
}

// expire deletes an item whose time to live is over, as the table does some time after.
func (w *world) expire() bool {
	r := w.rows[w.src.below(len(w.rows))]
	if m := r.last(); !m.exists || m.img.Expires.IsZero() || w.now.Before(m.img.Expires) {
		return false
	}
	w.set(r, false, imagery.Image{})
	w.note("%s expires", r.id)
	return true
}

// outage takes a service away for up to ten minutes.
func (w *world) outage() bool {
	if w.cfg.faults == 0 {
		return false
	}
	s := w.src.below(nothing)
	d := jumps[w.src.below(6)]
	w.away[s] = w.now.Add(d)
	w.note("%s is away for %s", []string{"the table", "the bucket", "the queue"}[s], d)
	return true
}

// vanish removes the original of an image.
func (w *world) vanish() bool {
	m := w.rows[w.src.below(len(w.rows))].last()
	if _, ok := w.objects[m.img.RawKey]; !w.cfg.originals || !ok {
		return false
	}
	delete(w.objects, m.img.RawKey)
	w.removed[m.img.RawKey] = true
	w.note("%s vanishes", m.img.RawKey)
	return true
}

// heal ends all mischief and lets the fleet run on calmly until everything is final. Clocks stay as wrong as
// they are.
func (w *world) heal() {
	w.note("the world heals")
	w.healed, w.src.dull = true, true
	for len(w.late) > 0 {
		w.arrive()
	}
	for _, r := range w.rows {
		w.follow(r)
	}
	w.finish()
	for round := 0; !w.final(); round++ {
		must(round < patience, nothingLost, "after %d rounds an hour apart: %s", round, w.unfinished())
		for len(w.queue.waiting()) > 0 {
			w.worker()
			w.finish()
		}
		w.reconcile()
		w.finish()
		w.now = w.now.Add(time.Hour)
	}
	w.settled()
}

// patience is how many rounds of an hour the last image may take: the longest interval between two hints, the
// difference of the clocks, and a few tries.
const patience = 24

// finish runs all actors to their ends.
func (w *world) finish() {
	for limit := w.steps + 10_000; len(w.actors) > 0; {
		w.steps++
		w.run(w.actors[0])
		w.check()
		must(w.steps < limit, nothingLost, "%d actors do not come to an end", len(w.actors))
	}
}

// final reports whether no image waits for anything.
func (w *world) final() bool {
	return !slices.ContainsFunc(w.rows, func(r *row) bool { return r.last().img.State == imagery.Uploaded })
}

func (w *world) unfinished() (list []string) {
	for _, r := range w.rows {
		list = append(list, r.last().String())
	}
	return list
}

// settled asserts the promises about the end: what was accepted is final, whatever became of the messages.
func (w *world) settled() {
	for _, r := range w.rows {
		for _, a := range r.accepted {
			m := r.last()
			must(a.settled || m.exists && m.img.State.Final() && m.img.RawKey == a.key, nothingLost, "%s was accepted, and the row holds %s", a.key, m)
		}
	}
	for _, r := range w.rows {
		if m := r.last(); m.img.State.Final() {
			w.index[r.id] = indexed{r.id[:1], m.img.Updated} // the index may still show what is long done
		}
	}
	before := w.seq
	w.now = w.now.Add(time.Hour)
	w.spawn(w.console, "reconcile", func(a *actor) {
		a.begin(w)
		r, err := w.console.Reconcile(context.Background(), w.cfg.maxReceives)
		must(err == nil && r.OldestAge < resendAfter && r.Resent == 0 && r.MarkedFailed == 0, idle, "%+v, %v", r, err)
	})
	w.finish()
	must(w.seq == before, idle, "%d writes", w.seq-before)
}
