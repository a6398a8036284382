package model

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
	"time"

	"imagery/app/imagery"
)

// The promises, by the names that reports use.
const (
	legalMoves     = "only legal transitions happen, each by its own role"
	versionGrows   = "the version grows by one with every transition"
	onlyHinted     = "nothing but hinted changes without a transition"
	fields         = "a field exists only in its states"
	keeps          = "an accepted upload is the image's, until it failed and other bytes were accepted"
	objectFirst    = "the original is stored before the item names it"
	ownResult      = "a result is that of the upload it stands beside"
	ownWarning     = "a processed image has the warning of its photo"
	oneResult      = "an upload has one result object"
	oldJob         = "an old job never finishes or fails a newer upload"
	oldHint        = "an old hint never fails a newer upload"
	transientError = "a transient error never fails a photo before its last receive"
	heldOnly       = "a worker that lost its message records no failure"
	badPhoto       = "a bad photo ends with the delivery that finds it bad"
	readable       = "a failed image has a reason that its user can read"
	trueAnswer     = "an answer is true at some moment of its call"
	hintAgain      = "an upload that is accepted and unfinished sends its hint"
	noReason       = "a call that nothing disturbs succeeds"
	refusal        = "a refused upload stores nothing"
	nothingLost    = "every accepted upload becomes final"
	noted          = "a hint that a reconciler sends again is recorded"
	noPanic        = "the code does not panic"
	idle           = "when all is final, a reconciler finds and does nothing"
)

var promises = []string{legalMoves, versionGrows, onlyHinted, fields, keeps, objectFirst, ownResult, ownWarning,
	oneResult, oldJob, oldHint, transientError, heldOnly, badPhoto, readable, trueAnswer, hintAgain, noReason,
	refusal, nothingLost, noted, noPanic, idle}

// legal is the state machine of the contract, with the operations that may make each transition.
var legal = map[imagery.State]map[imagery.State][]string{
	imagery.Created:  {imagery.Uploaded: {"upload"}},
	imagery.Uploaded: {imagery.Processed: {"receive"}, imagery.Failed: {"receive", "reconcile"}},
	imagery.Failed:   {imagery.Uploaded: {"upload", "redrive", "requeue"}, imagery.Processed: {"receive"}},
}

// check checks the promises that must hold between any two steps.
func (w *world) check() {
	for _, r := range w.rows {
		m := r.last()
		if m.exists {
			w.checkItem(r, m.img)
		}
		for _, a := range r.accepted {
			must(a.replaced || m.exists && m.img.RawKey == a.key, keeps, "%s is accepted, and the row holds %s", a.key, m)
		}
	}
}

// checkItem checks the promises about a single item.
func (w *world) checkItem(r *row, i imagery.Image) {
	made := i.State == imagery.Created
	must(made == (i.RawKey == "") && made == !i.Expires.IsZero() && made == (i.Version == 0) &&
		(i.State == imagery.Processed) == (i.ProcessedKey != "") && (i.State == imagery.Failed) == (i.Error != "") &&
		(i.State == imagery.Processed || i.Warning == ""), fields, "%s", r.last())
	if made {
		return
	}
	original, there := w.objects[i.RawKey]
	must(there || w.removed[i.RawKey], objectFirst, "%s", r.last())
	switch i.State {
	case imagery.Processed:
		must(strings.Contains(i.ProcessedKey, hashOf(i.RawKey)), ownResult, "%s", r.last())
		must(!there || w.objects[i.ProcessedKey] == sepia(original), ownResult, "%s holds %q", r.last(),
			w.objects[i.ProcessedKey])
		must(!there || i.Warning == warning(original), ownWarning, "%s of %q", r.last(), original)
	case imagery.Failed:
		must(strings.HasSuffix(i.Error, ".") && !strings.Contains(i.Error, "\n") &&
			!strings.Contains(i.Error, errTransient.Error()) &&
			!strings.Contains(i.Error, i.RawKey), readable, "%s", r.last())
	}
	h := i.History
	must(len(h) > 0 && len(h) <= 16 && h[len(h)-1].Version == i.Version && h[len(h)-1].State == i.State, fields,
		"history of %s: %+v", r.last(), h)
}

// hashOf returns the last part of an original's key.
func hashOf(key string) string { return key[strings.LastIndexByte(key, '/')+1:] }

// checkCreate checks a new item.
func (w *world) checkCreate(op *operation, r *row, img imagery.Image) {
	must(op.by.kind == "create" && img.State == imagery.Created, legalMoves, "%s creates %+v", op.by.name, img)
	old := r.last()
	must(!old.exists || old.img.State == imagery.Created, keeps, "%s is created over", old)
}

// attempt is the state when a transition was requested; its effect may come later.
type attempt struct {
	held  bool      // the message was still the worker's own, as far as it could know
	time  time.Time // of the world
	clock time.Time // of the process
}

func (op *operation) attempt(w *world) attempt {
	return attempt{op.delivery == nil || op.delivery.own(w.now), w.now, op.by.proc.Now()}
}

// checkMove checks a transition.
func (w *world) checkMove(op *operation, at attempt, r *row, to imagery.Image) {
	m := r.last()
	from := m.img
	must(from.State != to.State || from.Version != to.Version, onlyHinted, "%s moves %s to updated=%s", op.by.name, m,
		to.Updated)
	must(slices.Contains(legal[from.State][to.State], op.by.kind), legalMoves, "%s moves %s to %s", op.by.name, m,
		to.State)
	must(to.Version == from.Version+1, versionGrows, "%s moves %s to version %d", op.by.name, m, to.Version)
	// An upload that began before the id expired may meet a new item with this id, which has no photo yet.
	sameLife := to.Created.Equal(from.Created) || from.State == imagery.Created
	must(to.ID == from.ID && sameLife && to.Updated.Sub(at.clock).Abs() <= max(w.cfg.maxSkew(), time.Millisecond), fields,
		"%s moves %s to %+v", op.by.name, m, to)
	w.seen[string(from.State)+" to "+string(to.State)]++
	switch to.State {
	case imagery.Uploaded:
		must(op.by.kind == "upload" || to.RawKey == from.RawKey, keeps, "%s moves %s to %s", op.by.name, m, to.RawKey)
		for i, a := range r.accepted {
			r.accepted[i].replaced = a.replaced || from.State == imagery.Failed && a.key == from.RawKey && a.key != to.RawKey
		}
		return
	case imagery.Processed:
		must(bodyHash(op.worked) == hashOf(from.RawKey), oldJob, "%s worked on %q and finishes %s", op.by.name, op.worked, m)
	case imagery.Failed:
		w.checkFailure(op, at, r, to.Error)
	}
	must(to.RawKey == from.RawKey, keeps, "%s moves %s to %s", op.by.name, m, to.RawKey)
}

func bodyHash(body string) string {
	for _, p := range photos {
		if p.body == body {
			return p.hash
		}
	}
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// checkFailure checks that an image fails for a reason that applies to its present upload.
func (w *world) checkFailure(op *operation, at attempt, r *row, reason string) {
	m, who := r.last(), op.by.name
	if op.delivery == nil {
		must(slices.ContainsFunc(op.received, func(d *delivery) bool { return w.refersTo(d.message, r) }), oldHint,
			"%s fails %s, and no dead letter speaks of that", who, m)
		return
	}
	must(at.held, heldOnly, "%s fails %s", who, m)
	if reason == op.refused {
		must(bodyHash(op.worked) == hashOf(m.img.RawKey), oldJob, "%s refused %q and fails %s", who, op.worked, m)
		return
	}
	if strings.Contains(reason, "expired") {
		must(at.clock.Sub(m.img.Updated) > uploadLife && (op.missing || op.faults > 0), transientError, "%s fails %s: %s",
			who, m, reason)
	} else {
		must(op.delivery.message.Receives >= w.cfg.maxReceives && !w.cfg.daemon, transientError, "%s fails %s: %s", who, m,
			reason)
		must(w.refersTo(op.delivery.message, r), oldHint,
			"%s fails %s with a hint about %q that was sent at %s",
			who, m, op.delivery.message.hint.RawKey, op.delivery.message.sent.Sub(w.start))
	}
	must(op.soughtAt >= r.try, oldJob, "%s worked on an earlier try and fails %s: %s", who, m, reason)
}

// refersTo reports whether a message is about the present upload of an image. Events that are closer together than the
// clocks differ have no order. A message without a key refers to it if it is not older.
func (w *world) refersTo(m *message, r *row) bool {
	return m.hint.ImageID == r.id && (m.hint.RawKey == "" || m.hint.RawKey == r.last().img.RawKey) &&
		!m.sent.Before(r.since.Add(-w.cfg.maxSkew()))
}

// checkPut checks an object that is stored.
func (w *world) checkPut(key, body string, size int64) {
	must(int64(len(body)) == size, ownResult, "put %s: %d bytes, %d announced", key, len(body), size)
	part := strings.Split(key, "/")
	must(len(part) == 3, ownResult, "put %s", key)
	if part[0] == "upload" {
		must(part[2] == bodyHash(body), ownResult, "put %s: %q", key, body)
		return
	}
	hash, _, _ := strings.Cut(part[2], ".")
	must(part[0] == "processed" && hash == bodyHash(strings.TrimPrefix(body, sepia(""))), ownResult, "put %s: %q", key,
		body)
	for other := range w.objects {
		must(other == key || !strings.HasPrefix(other, "processed/"+part[1]+"/"+hash), oneResult, "put %s beside %s", key,
			other)
	}
	r := w.row(part[1])
	must(r != nil && r.during(0, func(m revision) bool { return hashOf(m.img.RawKey) == hash }), ownResult,
		"put %s, which was never uploaded", key)
}
