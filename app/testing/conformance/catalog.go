package conformance

import (
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"imagery/app/imagery"
)

// onCatalog returns a case with that many handles on a catalog.
func onCatalog(name string, handles int, run func(t *testing.T, s CatalogStorage)) testCase {
	return testCase{"Catalog." + name, func(t *testing.T, b Target) {
		if b.Catalog == nil {
			b.skip(t, "this backend has no catalog")
		}
		run(t, b.Catalog(t, handles))
	}}
}

func catalogCases() []testCase {
	return []testCase{
		onCatalog("Create: once, also for 16 at once", 4, createOnce),
		onCatalog("Create: over an expired item, which leaves nothing behind", 2, createOverExpired),
		onCatalog("Get: sees every answered write of another handle", 2, getIsConsistent),
		onCatalog("Get: every field comes back", 2, fieldsComeBack),
		onCatalog("Move: a stale version, state or raw key is a conflict", 2, staleIsConflict),
		onCatalog("Move: of 16 at once exactly one wins", 4, oneMoveWins),
		onCatalog("Move: what a state must not have is removed", 1, zeroIsRemoved),
		onCatalog("Move, Touch: unknown attributes survive", 2, unknownSurvives),
		onCatalog("Touch: changes the time of the hint only", 2, touchChangesHinted),
		onCatalog("Lease: one owner, who may renew; others when it is over", 4, leaseHasOneOwner),
		onCatalog("Ping: the catalog answers", 1, func(t *testing.T, s CatalogStorage) {
			must(t, s.Handles[0].Ping(t.Context()))
		}),
	}
}

// createOnce: the sixteen items differ, so that the stored one identifies the call that must have succeeded.
func createOnce(t *testing.T, s CatalogStorage) {
	now := time.Now()
	for round := range 5 {
		img := newImage(now)
		var won [16]bool
		race(len(won), func(i int) {
			mine := img
			mine.Created = img.Created.Add(time.Duration(i) * time.Second)
			err := s.Handles[i%len(s.Handles)].Create(t.Context(), mine, now)
			if won[i] = err == nil; err != nil && !errors.Is(err, imagery.ErrExists) {
				t.Errorf("round %d: %v, want ErrExists", round, err)
			}
		})
		winner := only(t, won[:])
		img.Created = img.Created.Add(time.Duration(winner) * time.Second)
		wantStored(t, s.Handles[0], img)
		if err := s.Handles[1].Create(t.Context(), img, now); !errors.Is(err, imagery.ErrExists) {
			t.Errorf("create of what exists: %v, want ErrExists", err)
		}
	}
}

// createOverExpired: the old item has attributes that a merge would leave in the new one.
func createOverExpired(t *testing.T, s CatalogStorage) {
	now := time.Now()
	old := newImage(now.Add(-48 * time.Hour))
	old.Error, old.History = "left over", []imagery.Event{{At: old.Updated, Cause: "left over"}}
	must(t, s.Handles[0].Create(t.Context(), old, old.Created))
	err := s.Handles[1].Create(t.Context(), old, old.Expires.Add(-time.Millisecond))
	if !errors.Is(err, imagery.ErrExists) {
		t.Errorf("create just before the expiry: %v, want ErrExists", err)
	}
	img := newImage(now)
	img.ID = old.ID
	var won [8]bool
	race(len(won), func(i int) {
		err := s.Handles[i%2].Create(t.Context(), img, old.Expires)
		if won[i] = err == nil; err != nil && !errors.Is(err, imagery.ErrExists) {
			t.Errorf("create at the expiry: %v, want ErrExists", err)
		}
	})
	only(t, won[:])
	wantStored(t, s.Handles[1], img)
}

// getIsConsistent reads after every write, which detects a cache and eventually consistent reads.
func getIsConsistent(t *testing.T, s CatalogStorage) {
	if _, err := s.Handles[0].Get(t.Context(), imagery.NewID()); !errors.Is(err, imagery.ErrNotFound) {
		t.Errorf("get of nothing: %v, want ErrNotFound", err)
	}
	writer, reader := s.Handles[0], s.Handles[1]
	img := newImage(time.Now())
	must(t, writer.Create(t.Context(), img, time.Now()))
	for range 25 {
		for _, state := range []imagery.State{imagery.Uploaded, imagery.Failed} {
			wantStored(t, reader, img)
			to := advance(img, state)
			must(t, writer.Move(t.Context(), img, to))
			img = to
		}
	}
	wantStored(t, reader, img)
}

// fieldsComeBack uses text that breaks JSON and expressions without escaping.
func fieldsComeBack(t *testing.T, s CatalogStorage) {
	img := newImage(time.Now())
	must(t, s.Handles[0].Create(t.Context(), img, time.Now()))
	to := advance(img, imagery.Uploaded)
	must(t, s.Handles[0].Move(t.Context(), img, to))
	wantStored(t, s.Handles[1], to)

	failed := advance(to, imagery.Failed)
	failed.Error = "\"quoted\", 'single', \\back\\, <tag> & \u00fc \u20ac \U0001F5BC and\na new line"
	failed.History = nil
	for i := range 16 {
		failed.History = append(failed.History, imagery.Event{
			At: failed.Updated.Add(time.Duration(i) * time.Millisecond), State: imagery.Failed, Version: int64(i),
			Release: "0123456789ab", Instance: "worker-" + strconv.Itoa(i), Receives: i, Cause: failed.Error,
		})
	}
	must(t, s.Handles[0].Move(t.Context(), to, failed))
	wantStored(t, s.Handles[1], failed)
}

// staleIsConflict tests each condition alone. A stale job must neither complete nor fail a newer upload.
func staleIsConflict(t *testing.T, s CatalogStorage) {
	uploaded := stored(t, s, imagery.Uploaded)
	version, state, key, other := uploaded, uploaded, uploaded, uploaded
	version.Version--
	state.State = imagery.Failed
	key.RawKey = imagery.RawKey(uploaded.ID, "other")
	other.ID = imagery.NewID()
	noKey := uploaded
	noKey.RawKey = ""
	for what, from := range map[string]imagery.Image{
		"version": version, "state": state, "raw key": key, "empty raw key": noKey, "id": other,
	} {
		to := advance(uploaded, imagery.Processed)
		to.ID = from.ID
		if err := s.Handles[1].Move(t.Context(), from, to); !errors.Is(err, imagery.ErrConflict) {
			t.Errorf("move with a wrong %s: %v, want ErrConflict", what, err)
		}
	}
	wantStored(t, s.Handles[1], uploaded)
	if _, err := s.Handles[0].Get(t.Context(), other.ID); !errors.Is(err, imagery.ErrNotFound) {
		t.Errorf("a move made an item: %v, want ErrNotFound", err)
	}
}

// oneMoveWins: the raw keys of the writers differ, so that the stored item identifies the winner.
func oneMoveWins(t *testing.T, s CatalogStorage) {
	from := stored(t, s, imagery.Uploaded)
	for range 10 {
		var won [16]bool
		var tos [16]imagery.Image
		next := imagery.Failed
		if from.State == imagery.Failed {
			next = imagery.Uploaded
		}
		race(len(won), func(i int) {
			tos[i] = advance(from, next)
			tos[i].RawKey = imagery.RawKey(from.ID, fmt.Sprint("writer", i))
			err := s.Handles[i%len(s.Handles)].Move(t.Context(), from, tos[i])
			if won[i] = err == nil; err != nil && !errors.Is(err, imagery.ErrConflict) {
				t.Errorf("lost move: %v, want ErrConflict", err)
			}
		})
		from = tos[only(t, won[:])]
		wantStored(t, s.Handles[0], from)
	}
}

// zeroIsRemoved goes through all states and compares the stored attributes.
func zeroIsRemoved(t *testing.T, s CatalogStorage) {
	img := newImage(time.Now())
	must(t, s.Handles[0].Create(t.Context(), img, time.Now()))
	for _, state := range []imagery.State{
		imagery.Created, imagery.Uploaded, imagery.Failed, imagery.Uploaded, imagery.Failed, imagery.Processed,
	} {
		if state != imagery.Created {
			to := advance(img, state)
			must(t, s.Handles[0].Move(t.Context(), img, to))
			img = to
		}
		wantStored(t, s.Handles[0], img)
		for name, want := range attributes(img) {
			got, ok, err := s.Attribute(img.ID, name)
			must(t, err)
			if got != want || ok != (want != "") {
				t.Errorf("in %s version %d, attribute %s is %q (there: %v), want %q", state, img.Version, name, got, ok, want)
			}
		}
	}
}

// attributes returns the expected attributes of an item. Empty ones must be absent.
func attributes(img imagery.Image) map[string]string {
	number := func(t time.Time, n int64) string {
		if t.IsZero() {
			return ""
		}
		return strconv.FormatInt(n, 10)
	}
	return map[string]string{
		"id": img.ID, "version": strconv.FormatInt(img.Version, 10), "state": string(img.State),
		"created": number(img.Created, img.Created.UnixMilli()), "updated": number(img.Updated, img.Updated.UnixMilli()),
		"hinted": number(img.Hinted, img.Hinted.UnixMilli()), "expires": number(img.Expires, img.Expires.Unix()),
		"rawS3Key": img.RawKey, "processedS3Key": img.ProcessedKey, "warning": img.Warning, "error": img.Error,
		"pending": img.PendingShard(),
	}
}

// unknownSurvives: during a rollout an older release writes items that a newer one has extended.
func unknownSurvives(t *testing.T, s CatalogStorage) {
	img := newImage(time.Now())
	must(t, s.Handles[0].Create(t.Context(), img, time.Now()))
	must(t, s.SetAttribute(img.ID, "fromTheFuture", "kept \u00fc"))
	must(t, s.Handles[0].Touch(t.Context(), img, time.Now()))
	for _, state := range []imagery.State{imagery.Uploaded, imagery.Failed, imagery.Processed} {
		to := advance(img, state)
		must(t, s.Handles[1].Move(t.Context(), img, to))
		must(t, s.Handles[0].Touch(t.Context(), to, time.Now()))
		img = to
	}
	if v, ok, err := s.Attribute(img.ID, "fromTheFuture"); err != nil || !ok || v != "kept \u00fc" {
		t.Errorf("the unknown attribute is %q, %v, %v", v, ok, err)
	}
}

// touchChangesHinted: a touch that wrote the whole image could revert a transition.
func touchChangesHinted(t *testing.T, s CatalogStorage) {
	img := stored(t, s, imagery.Uploaded)
	hinted := img.Hinted.Add(time.Minute)
	must(t, s.Handles[1].Touch(t.Context(), img, hinted))
	img.Hinted = hinted
	wantStored(t, s.Handles[0], img)

	stale, absent := img, img
	stale.Version--
	absent.ID = imagery.NewID()
	for what, from := range map[string]imagery.Image{"stale version": stale, "absent item": absent} {
		if err := s.Handles[0].Touch(t.Context(), from, hinted.Add(time.Minute)); !errors.Is(err, imagery.ErrConflict) {
			t.Errorf("touch of a %s: %v, want ErrConflict", what, err)
		}
	}
	wantStored(t, s.Handles[1], img)
	if _, err := s.Handles[0].Get(t.Context(), absent.ID); !errors.Is(err, imagery.ErrNotFound) {
		t.Errorf("a touch made an item: %v, want ErrNotFound", err)
	}
}

func leaseHasOneOwner(t *testing.T, s CatalogStorage) {
	now := time.Now()
	take := func(handle int, name, holder string, now, until time.Time) bool {
		held, err := s.Handles[handle].Lease(t.Context(), name, holder, now, until)
		must(t, err)
		return held
	}
	var won [16]bool
	race(len(won), func(i int) {
		won[i] = take(i%len(s.Handles), "one", fmt.Sprint("holder ", i), now, now.Add(time.Minute))
	})
	winner := fmt.Sprint("holder ", only(t, won[:]))
	for _, c := range []struct {
		what, name, holder string
		now                time.Time
		want               bool
	}{
		{"another lease", "two", "somebody", now, true},
		{"renewed by its owner", "one", winner, now.Add(time.Second), true},
		{"wanted by another", "one", "somebody", now.Add(time.Second), false},
		{"over", "one", "somebody", now.Add(2 * time.Minute), true},
		{"taken from its owner", "one", winner, now.Add(2 * time.Minute), false},
	} {
		if held := take(1, c.name, c.holder, c.now, c.now.Add(time.Minute)); held != c.want {
			t.Errorf("a lease that is %s: held %t, want %t", c.what, held, c.want)
		}
	}
}
