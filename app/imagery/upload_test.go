package imagery_test

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
)

func TestCreateIsRepeatable(t *testing.T) {
	w := newWorld(t)
	id := imagery.NewID()
	first, fresh, err := w.Create(t.Context(), strings.ToUpper(id))
	if err != nil || !fresh || first.ID != id || first.State != imagery.Created || first.Version != 0 {
		t.Fatalf("first create: %+v, %t, %v", first, fresh, err)
	}
	for range 3 {
		again, fresh, err := w.Create(t.Context(), id)
		if err != nil || fresh || !again.Created.Equal(first.Created) {
			t.Fatalf("create again: %+v, %t, %v", again, fresh, err)
		}
	}
	w.accept(t, id, "a")
	if img, fresh, err := w.Create(t.Context(), id); err != nil || fresh || img.State != imagery.Uploaded {
		t.Fatalf("create after upload: %+v, %t, %v", img, fresh, err)
	}
}

func TestExpiredImageIsAbsentAndCanBeCreatedAgain(t *testing.T) {
	w := newWorld(t)
	id := w.create(t)
	w.clock = w.clock.Add(24 * time.Hour)
	if _, err := w.Get(t.Context(), id); !errors.Is(err, imagery.ErrNotFound) {
		t.Fatalf("get of an expired image: %v", err)
	}
	if _, _, err := w.Accept(t.Context(), upload(id, "a")); !errors.Is(err, imagery.ErrNotFound) {
		t.Fatalf("upload to an expired image: %v", err)
	}
	if img, fresh, err := w.Create(t.Context(), id); err != nil || !fresh || !img.Created.Equal(w.clock) {
		t.Fatalf("create anew: %+v, %t, %v", img, fresh, err)
	}
	w.accept(t, id, "a")
	w.clock = w.clock.Add(1000 * time.Hour)
	if img := w.get(t, id); !img.Expires.IsZero() {
		t.Fatalf("an uploaded image expires: %+v", img)
	}
}

// TestUploadInEveryState tests the rules for uploading the same or other bytes again.
func TestUploadInEveryState(t *testing.T) {
	for _, c := range []struct {
		state imagery.State
		same  bool
		want  error
		moves bool
		hints int
	}{
		{imagery.Created, false, nil, true, 1},
		{imagery.Uploaded, true, nil, false, 1},
		{imagery.Uploaded, false, imagery.ErrAlreadyUploaded, false, 0},
		{imagery.Processed, true, nil, false, 0},
		{imagery.Processed, false, imagery.ErrAlreadyUploaded, false, 0},
		{imagery.Failed, true, nil, true, 1},
		{imagery.Failed, false, nil, true, 1},
	} {
		t.Run(fmt.Sprintf("%s/same=%t", c.state, c.same), func(t *testing.T) {
			w := newWorld(t)
			id := w.create(t)
			if c.state != imagery.Created {
				img := w.accept(t, id, "first")
				if c.state == imagery.Failed {
					w.filter.err = &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "Broken."}
				}
				if c.state != imagery.Uploaded {
					if _, err := w.Process(t.Context(), job(img)); err != nil {
						t.Fatal(err)
					}
				}
			}
			before, sends, objects := w.get(t, id), w.queue.Sends, len(w.blobs.Keys())
			if before.State != c.state {
				t.Fatalf("prepared %s, want %s", before.State, c.state)
			}
			body := "other"
			if c.same {
				body = "first"
			}
			img, hintErr, err := w.Accept(t.Context(), upload(id, body))
			if !errors.Is(err, c.want) || hintErr != nil {
				t.Fatalf("upload: %v, %v", err, hintErr)
			}
			if got := w.queue.Sends - sends; got != c.hints {
				t.Errorf("%d hints were sent, want %d", got, c.hints)
			}
			after := w.get(t, id)
			if c.moves {
				if after.State != imagery.Uploaded || after.Version != before.Version+1 || after.Error != "" ||
					img.Version != after.Version {
					t.Errorf("after: %+v", after)
				}
			} else if after.Version != before.Version || !after.Updated.Equal(before.Updated) || after.State != before.State {
				t.Errorf("something changed: %+v -> %+v", before, after)
			}
			if c.want != nil && len(w.blobs.Keys()) != objects {
				t.Error("a rejected upload stored an object")
			}
		})
	}
}

func TestRaceOfTwoUploads(t *testing.T) {
	for range 200 {
		w := newWorld(t)
		id := w.create(t)
		var wg sync.WaitGroup
		errs := make([]error, 2)
		for i := range errs {
			wg.Go(func() { _, _, errs[i] = w.Accept(t.Context(), upload(id, fmt.Sprint("photo ", i))) })
		}
		wg.Wait()
		won := 0
		for i, err := range errs {
			if err == nil {
				won++
				if img := w.get(t, id); !strings.HasSuffix(img.RawKey, upload(id, fmt.Sprint("photo ", i)).Hash) {
					t.Fatalf("upload %d was accepted but %s is stored", i, img.RawKey)
				}
			} else if !errors.Is(err, imagery.ErrAlreadyUploaded) {
				t.Fatal(err)
			}
		}
		if won != 1 {
			t.Fatalf("%d uploads won: %v", won, errs)
		}
	}
}

func TestItemsOfTheOriginalApplicationAcceptNoOtherBytes(t *testing.T) {
	w := newWorld(t)
	id := imagery.NewID()
	w.catalog.Put(imagery.Image{ID: id, Version: 1, State: imagery.Uploaded, RawKey: "upload/" + id + "-1700000000000"})
	if _, _, err := w.Accept(t.Context(), upload(id, "a")); !errors.Is(err, imagery.ErrAlreadyUploaded) {
		t.Fatalf("upload: %v", err)
	}
}
