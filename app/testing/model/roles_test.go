package model

import (
	"bytes"
	"context"
	"time"

	"imagery/app/imagery"
)

// operation is one use of the service by an actor, with what the model observed of it.
type operation struct {
	by       *actor
	began    int // number of the last write before it
	faults   int // calls of it whose outcome was not normal
	puts     int
	touches  int
	sent     []imagery.Hint
	moved    []imagery.State // transitions that it made
	received []*delivery

	// Of a worker's job only.
	delivery *delivery
	soughtAt int    // number of the last write before the read of the original
	missing  bool   // the original was not there
	worked   string // the bytes that the filter got
	refused  string // why the filter refused them
}

// begin starts a new operation of the actor.
func (a *actor) begin(w *world) *operation {
	a.op = &operation{by: a, began: w.seq}
	return a.op
}

// client creates, reads or uploads, without knowledge of other clients of the same id.
func (w *world) client() {
	p := w.servers[w.src.intn(len(w.servers))]
	id := w.rows[w.src.intn(len(w.rows))].id
	switch file := photos[w.src.intn(len(photos))]; w.src.intn(6) {
	case 0:
		w.spawn(p, "create", func(a *actor) {
			op := a.begin(w)
			img, fresh, err := p.Create(context.Background(), id)
			w.checkCreated(op, id, img, fresh, err)
		})
	case 1:
		w.spawn(p, "get", func(a *actor) {
			op := a.begin(w)
			img, err := p.Get(context.Background(), id)
			w.checkRead(op, id, img, err)
		})
	default:
		w.spawn(p, "upload", func(a *actor) {
			op := a.begin(w)
			img, hintErr, err := p.Accept(context.Background(), imagery.Upload{ID: id, Hash: file.hash,
				ContentType: "image/jpeg",
				Body:        bytes.NewReader([]byte(file.body)), Size: int64(len(file.body))})
			w.checkUpload(op, id, imagery.RawKey(id, file.hash), img, hintErr, err)
		})
	}
}

// worker receives a few messages and does their jobs.
func (w *world) worker() {
	p := w.workers[w.src.intn(len(w.workers))]
	limit := 1 + w.src.intn(3)
	w.spawn(p, "receive", func(a *actor) {
		op := a.begin(w)
		ms, err := w.queue.Receive(context.Background(), limit, 0)
		if err != nil {
			return
		}
		got := op.received[len(op.received)-len(ms):]
		for i, m := range ms {
			w.job(a, got[i], m)
		}
	})
}

// job processes one delivery, and then deletes or postpones the message, as a worker does.
func (w *world) job(a *actor, d *delivery, m imagery.Message) {
	op := a.begin(w)
	op.delivery = d
	hint, err := imagery.ParseHint(m.Body)
	if err != nil {
		w.putOff(d, m)
		return
	}
	sent, last := m.Sent, m.Receives >= w.cfg.maxReceives
	if w.cfg.daemon {
		sent, last = time.Time{}, false
	}
	report, err := a.proc.Process(context.Background(), imagery.Job{
		Hint: hint, Receives: m.Receives, Sent: sent, Last: last,
		Owned: func() bool { return d.own(w.now) },
		Admit: w.admit,
	})
	w.tracef("%-18s job of %s ends: outcome %q, %v", a.name, m.ID, report.Outcome, err)
	w.checkJob(op, hint, report, err)
	if err != nil {
		w.putOff(d, m)
		return
	}
	a.proc.Hit(imagery.BeforeAck, report.Image.ID)
	_ = w.queue.Delete(context.Background(), m) // else it comes again and is found done before
}

// admit waits for memory, perhaps longer than the job may take.
func (w *world) admit(context.Context, imagery.Cost) (func(), error) {
	err := w.do(call{service: nothing, what: "admit", outcomes: []outcome{wrongError},
		wrongErrors: []error{context.DeadlineExceeded}})
	return func() {}, err
}

// putOff postpones a message.
func (w *world) putOff(d *delivery, m imagery.Message) {
	if d.own(w.now) {
		wait := []time.Duration{0, time.Second, visibility, 2 * time.Minute}[w.src.intn(4)]
		_, _ = w.queue.Extend(context.Background(), wait, m) // else it comes back when its visibility ends
	}
}

// reconcile makes one pass of a worker's reconciler. A process never makes two at once.
func (w *world) reconcile() bool {
	p := w.workers[w.src.intn(len(w.workers))]
	if p.passing {
		return false
	}
	p.passing = true
	w.spawn(p, "reconcile", func(a *actor) {
		op := a.begin(w)
		r, err := p.reconciler.RunOnce(context.Background(), w.cfg.maxReceives)
		w.checkReconciled(op, r, err)
		p.passing = false
	})
	return true
}

// repair makes a pass without a lease, like a second leader.
func (w *world) repair() {
	w.spawn(w.console, "reconcile", func(a *actor) {
		op := a.begin(w)
		r, err := w.console.Reconcile(context.Background(), w.cfg.maxReceives)
		w.checkReconciled(op, r, err)
	})
}

// resign ends a worker's lease, as a clean stop does, and restarts the worker.
func (w *world) resign() bool {
	p := w.workers[w.src.intn(len(w.workers))]
	if p.passing {
		return false
	}
	p.passing = true
	w.spawn(p, "resign", func(a *actor) {
		op := a.begin(w)
		err := p.reconciler.Resign(context.Background())
		must(err == nil || op.excused(err), noReason, "%s: %v", a.name, err)
		p.restart()
	})
	return true
}

// redrive requeues the images of a few dead letters and deletes these.
func (w *world) redrive() bool {
	if len(w.dead.waiting()) == 0 {
		return false
	}
	w.spawn(w.console, "redrive", func(a *actor) {
		a.begin(w)
		ms, err := w.dead.Receive(context.Background(), 10, 0)
		if err != nil {
			return
		}
		for _, m := range ms {
			h, err := imagery.ParseHint(m.Body)
			if err == nil && h.RawKey != "" {
				err = w.bringBack(a, h.ImageID, func(img imagery.Image) bool {
					return img.RawKey == h.RawKey &&
						img.State != imagery.Processed
				})
			}
			if err == nil {
				_ = w.dead.Delete(context.Background(), m) // done again at worst
			}
		}
	})
	return true
}

// requeue requeues one image in any state.
func (w *world) requeue() {
	id := w.rows[w.src.intn(len(w.rows))].id
	w.spawn(w.console, "requeue", func(a *actor) { _ = w.bringBack(a, id, nil) })
}

func (w *world) bringBack(a *actor, id string, meant func(imagery.Image) bool) error {
	op := a.begin(w)
	img, moved, err := a.proc.Requeue(context.Background(), id, blobs{w}, meant)
	w.checkRequeue(op, id, img, moved, err)
	return err
}
