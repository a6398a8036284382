package conformance

import (
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
)

// newImage returns an image like Service.Create.
func newImage(now time.Time) imagery.Image {
	now = now.Truncate(time.Millisecond)
	return imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: now, Updated: now,
		Expires: now.Add(24 * time.Hour).Truncate(time.Second)}
}

// advance returns the image after a transition like those of Service.
func advance(img imagery.Image, state imagery.State) imagery.Image {
	img.Version, img.State, img.Updated = img.Version+1, state, img.Updated.Add(7*time.Millisecond)
	img.Expires, img.ProcessedKey, img.Warning, img.Error = time.Time{}, "", "", ""
	switch state {
	case imagery.Uploaded:
		img.RawKey, img.Hinted = imagery.RawKey(img.ID, fmt.Sprint("hash", img.Version)), img.Updated
	case imagery.Processed:
		img.ProcessedKey = imagery.ProcessedKey(img.ID, "hash", "jpg")
		img.Warning = "The end of this photo is missing."
	case imagery.Failed:
		img.Error = "This file is cut short."
	}
	event := imagery.Event{At: img.Updated, State: state, Version: img.Version}
	img.History = append(img.History[:len(img.History):len(img.History)], event)
	return img
}

// stored creates an image in the catalog, in state Uploaded or a later one.
func stored(t *testing.T, s CatalogStorage, state imagery.State) imagery.Image {
	t.Helper()
	img := newImage(time.Now())
	must(t, s.Handles[0].Create(t.Context(), img, time.Now()))
	to := advance(img, imagery.Uploaded)
	must(t, s.Handles[0].Move(t.Context(), img, to))
	if img = to; state != imagery.Uploaded {
		to = advance(img, state)
		must(t, s.Handles[0].Move(t.Context(), img, to))
	}
	return to
}

// wantStored fails unless the handle reads exactly the given image.
func wantStored(t *testing.T, c imagery.Catalog, want imagery.Image) {
	t.Helper()
	got, err := c.Get(t.Context(), want.ID)
	must(t, err)
	if got, want := plain(got), plain(want); !reflect.DeepEqual(got, want) {
		t.Fatalf("stored is\n%+v, want\n%+v", got, want)
	}
}

// plain makes images comparable, because equal times can have different representations.
func plain(img imagery.Image) imagery.Image {
	for _, at := range []*time.Time{&img.Created, &img.Updated, &img.Hinted, &img.Expires} {
		*at = at.Round(0).UTC()
	}
	history := make([]imagery.Event, len(img.History))
	for i, e := range img.History {
		e.At = e.At.Round(0).UTC()
		history[i] = e
	}
	img.History = history
	return img
}

// race runs n functions at the same time and waits for them.
func race(n int, run func(i int)) {
	var wg sync.WaitGroup
	start := make(chan struct{})
	for i := range n {
		wg.Go(func() {
			<-start
			run(i)
		})
	}
	close(start)
	wg.Wait()
}

// only returns the index of the single winner.
func only(t *testing.T, won []bool) int {
	t.Helper()
	winner, n := -1, 0
	for i, w := range won {
		if w {
			winner, n = i, n+1
		}
	}
	if n != 1 {
		t.Fatalf("%d of %d won, want exactly one", n, len(won))
	}
	return winner
}
