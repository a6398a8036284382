package model

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"imagery/app/imagery"
)

// row is one item of the table with all its revisions, so that an answer can be compared with what was true at any
// moment of the call.
type row struct {
	id        string
	revisions []revision // oldest first; the last one is the present
	since     time.Time  // when its last transition was asked for: the time that the item carries, on a right clock
	try       int        // the number of that write, when it happened
	accepted  []accepted
}

// revision is the content of a row from a write on.
type revision struct {
	from   int // the number of the write
	exists bool
	img    imagery.Image
}

// accepted is an upload that was answered with success.
type accepted struct {
	key      string
	replaced bool // it failed with a reason, and other bytes took its place later
}

func (r *row) last() revision { return r.revisions[len(r.revisions)-1] }

func (m revision) String() string {
	if !m.exists {
		return "gone"
	}
	i := m.img
	return fmt.Sprintf("%s v%d %s raw=%q result=%q warning=%q error=%q updated=%s hinted=%s", i.ID, i.Version, i.State,
		i.RawKey, i.ProcessedKey, i.Warning, i.Error, i.Updated.Format(time.TimeOnly), i.Hinted.Format(time.TimeOnly))
}

// during reports whether something was true of the row at any time since the write with the number began.
func (r *row) during(began int, holds func(revision) bool) bool {
	for _, m := range slices.Backward(r.revisions) {
		if holds(m) {
			return true
		}
		if m.from <= began {
			return false
		}
	}
	return false
}

// matches compares what a reader of an image can see.
func (m revision) matches(img imagery.Image) bool {
	i := m.img
	return m.exists && i.ID == img.ID && i.Version == img.Version && i.State == img.State && i.RawKey == img.RawKey &&
		i.ProcessedKey == img.ProcessedKey && i.Warning == img.Warning && i.Error == img.Error &&
		i.Created.Equal(img.Created) && i.Updated.Equal(img.Updated) && i.Expires.Equal(img.Expires)
}

func (w *world) row(id string) *row {
	for _, r := range w.rows {
		if r.id == id {
			return r
		}
	}
	return nil
}

// set adds a revision.
func (w *world) set(r *row, exists bool, img imagery.Image) {
	w.seq++
	img.History = slices.Clone(img.History)
	r.revisions = append(r.revisions, revision{w.seq, exists, img})
	if w.src.chance(1, 4) {
		return // the index follows later
	}
	w.reindex(r)
}

// catalog implements imagery.Catalog.
type catalog struct{ *world }

func (w catalog) Create(_ context.Context, img imagery.Image, now time.Time) error {
	op := w.running.op
	return w.do(call{service: table, what: "create", subject: img.ID, outcomes: writeOutcomes, effect: func() error {
		r := w.row(img.ID)
		if m := r.last(); m.exists && !m.img.Expired(now) {
			return imagery.ErrExists
		}
		w.checkCreate(op, r, img)
		w.set(r, true, img)
		return nil
	}})
}

// inconsistently marks the context of a read without consistency. The port has no such read; only a planted fault makes
// one.
const inconsistently = "eventually consistent read"

func (w catalog) Get(ctx context.Context, id string) (img imagery.Image, err error) {
	err = w.do(call{service: table, what: "get", subject: id, outcomes: readOutcomes, effect: func() error {
		r := w.row(id)
		if r == nil {
			return imagery.ErrNotFound
		}
		m := r.last()
		if stale := len(r.revisions) - 2; ctx.Value(inconsistently) != nil && stale >= 0 && w.src.chance(1, 4) {
			m = r.revisions[stale]
		}
		if !m.exists {
			return imagery.ErrNotFound
		}
		img = m.img
		return nil
	}})
	return img, err
}

func (w catalog) Move(_ context.Context, from, to imagery.Image) error {
	op := w.running.op
	at := op.attempt(w.world)
	return w.do(call{service: table, what: "move to " + string(to.State), subject: from.ID, outcomes: writeOutcomes,
		effect: func() error {
			r := w.row(from.ID)
			m := r.last()
			if !m.exists || m.img.Version != from.Version || m.img.State != from.State || m.img.RawKey != from.RawKey {
				w.seen["conflict"]++
				return imagery.ErrConflict
			}
			w.checkMove(op, at, r, to)
			w.set(r, true, to)
			r.since, r.try = at.time, w.seq
			op.moved = append(op.moved, to.State)
			return nil
		}})
}

func (w catalog) Touch(_ context.Context, img imagery.Image, hinted time.Time) error {
	w.running.op.touches++
	return w.do(call{service: table, what: "touch", subject: img.ID, outcomes: writeOutcomes, effect: func() error {
		r := w.row(img.ID)
		m := r.last()
		if !m.exists || m.img.Version != img.Version {
			return imagery.ErrConflict
		}
		m.img.Hinted = hinted.Truncate(time.Millisecond)
		w.set(r, true, m.img)
		return nil
	}})
}

// indexed is an item of the pending index, which follows the table with a delay.
type indexed struct {
	shard   string
	updated time.Time
}

// reindex updates the index from the row.
func (w *world) reindex(r *row) {
	delete(w.index, r.id)
	if m := r.last(); m.exists && m.img.State == imagery.Uploaded {
		w.index[r.id] = indexed{m.img.PendingShard(), m.img.Updated}
	}
}

func (w catalog) Pending(_ context.Context, shard string, from, to time.Time, after string,
	limit int) (list []imagery.Pending, next string, err error) {
	if !slices.ContainsFunc(w.rows, func(r *row) bool { return r.id[:1] == shard }) {
		return nil, "", nil // none of this world's images can ever be here, so nothing is gained by stopping
	}
	err = w.do(call{service: table, what: "list pending", subject: shard, outcomes: readOutcomes, effect: func() error {
		list, next = nil, ""
		key := func(p imagery.Pending) string { return fmt.Sprintf("%020d/%s", p.Updated.UnixMilli(), p.ID) }
		for _, r := range w.rows {
			if x, ok := w.index[r.id]; ok && x.shard == shard && !x.updated.Before(from) && !x.updated.After(to) {
				if p := (imagery.Pending{ID: r.id, Updated: x.updated}); key(p) > after {
					list = append(list, p)
				}
			}
		}
		slices.SortFunc(list, func(a, b imagery.Pending) int { return strings.Compare(key(a), key(b)) })
		if page := 1 + w.src.intn(min(limit, 2)); len(list) > page { // pages are as short as they like
			list, next = list[:page], key(list[page-1])
		}
		return nil
	}})
	return list, next, err
}

// lease is the holder of a name, and the end of its lease.
type lease struct {
	holder string
	until  time.Time
}

func (w catalog) Lease(_ context.Context, name, holder string, now, until time.Time) (held bool, err error) {
	err = w.do(call{service: table, what: "lease for", subject: holder, outcomes: writeOutcomes, effect: func() error {
		l, ok := w.leases[name]
		if held = !ok || l.holder == holder || l.until.Before(now); held {
			w.leases[name] = lease{holder, until}
		}
		return nil
	}})
	return held, err
}

func (w catalog) Ping(context.Context) error { return nil }

var _ imagery.Catalog = catalog{}
