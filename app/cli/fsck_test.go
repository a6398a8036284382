package cli_test

import (
	"strings"
	"testing"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/imagery"
)

type checked struct {
	Findings []fsck.Finding
	Repairs  []struct {
		fsck.Finding
		Action string
		Done   bool
	}
}

// A repair removes only what no upload under way can name: old, and of an image that is processed or gone.
func TestRepairRemovesOnlyWhatNobodyCanName(t *testing.T) {
	w := newWorld(t)
	old, young := time.Now().Add(-25*time.Hour), time.Now().Add(-23*time.Hour)
	w.s = fsck.Snapshot{Objects: map[string]string{}, Stored: map[string]time.Time{}, NoMessages: true}
	hash := fsck.HashOf([]byte("photo"))
	want := map[string]bool{}
	plant := func(id string, stored time.Time, gone bool) {
		for _, key := range []string{imagery.RawKey(id, hash), imagery.ProcessedKey(id, hash, "png")} {
			w.s.Objects[key], w.s.Stored[key] = "", stored
			want[key] = gone
		}
	}
	plant(imagery.NewID(), old, true)
	plant(imagery.NewID(), young, false)
	plant(w.image(imagery.Processed, old).ID, old, true)
	plant(w.image(imagery.Processed, old).ID, young, false)
	for _, state := range []imagery.State{imagery.Created, imagery.Uploaded, imagery.Failed} {
		plant(w.image(state, old).ID, old, false)
	}
	named := w.image(imagery.Processed, old) // since the snapshot was taken
	named.RawKey, named.ProcessedKey = imagery.RawKey(named.ID, hash), imagery.ProcessedKey(named.ID, hash, "png")
	w.catalog.Put(named)
	plant(named.ID, old, false)
	expired := w.image(imagery.Created, old)
	expired.Expires = old
	w.catalog.Put(expired)
	plant(expired.ID, old, true)

	var dry, r checked
	if err := w.run(t.Context(), &dry, "fsck", "--repair", "--dry-run"); err != nil || len(w.removed) > 0 {
		t.Fatalf("a dry run removed %v, %v", w.removed, err)
	}
	if err := w.run(t.Context(), &r, "fsck", "--repair"); err != nil || len(r.Repairs) != len(want) ||
		len(dry.Repairs) != len(want) {
		t.Fatalf("%+v, %v", r, err)
	}
	for i, did := range r.Repairs {
		if action := map[bool]string{true: "remove object", false: "leave it"}[want[did.Key]]; did.Action != action ||
			did.Done != want[did.Key] || dry.Repairs[i].Action != action || dry.Repairs[i].Done {
			t.Errorf("%+v, in a dry run %+v; want %s", did, dry.Repairs[i], action)
		}
		delete(want, did.Key)
	}
	if len(w.removed) != 6 {
		t.Errorf("removed: %v", w.removed)
	}
}

// Where messages cannot be listed, a hint is missing when the reconciler should have sent it long ago.
func TestOverdueHints(t *testing.T) {
	w := newWorld(t)
	w.s = fsck.Snapshot{Objects: map[string]string{}, NoMessages: true}
	hash := fsck.HashOf([]byte("photo"))
	add := func(age, hinted time.Duration) string {
		img := w.image(imagery.Uploaded, time.Now().Add(-age))
		img.RawKey = imagery.RawKey(img.ID, hash)
		img.Hinted = time.Now().Add(-hinted)
		w.catalog.Put(img)
		if err := w.blobs.Put(t.Context(), img.RawKey, "", strings.NewReader(""), 0); err != nil {
			t.Fatal(err)
		}
		w.s.Items = append(w.s.Items, fsck.Item{ID: img.ID, Version: 1, State: "uploaded", Updated: img.Updated.UnixMilli(),
			Hinted:  img.Hinted.UnixMilli(),
			Pending: img.ID[:1], RawKey: img.RawKey, History: []fsck.Event{{State: "uploaded", Version: 1}}})
		w.s.Objects[img.RawKey] = ""
		return img.ID
	}
	add(time.Minute, time.Minute)
	add(6*time.Minute, 6*time.Minute) // due, but the reconciler may be at it
	add(time.Hour, 20*time.Minute)
	late := add(time.Hour, time.Hour)
	var r checked
	if err := w.run(t.Context(), &r, "fsck"); err != nil || len(r.Findings) != 1 || r.Findings[0].Image != late ||
		r.Findings[0].Class != fsck.Unhinted {
		t.Fatalf("%+v, %v", r, err)
	}
	if err := w.run(t.Context(), &r, "fsck", "--repair"); err != nil || w.queue.Sends != 1 || len(r.Repairs) != 1 ||
		!r.Repairs[0].Done {
		t.Errorf("%d hints, %+v, %v", w.queue.Sends, r, err)
	}
}
