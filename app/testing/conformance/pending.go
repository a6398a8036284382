package conformance

import (
	"slices"
	"testing"
	"time"

	"imagery/app/imagery"
)

func pendingCases() []testCase {
	return []testCase{
		onCatalog("Pending: one shard, oldest first, in pages, not after the given time", 2, pendingPages),
		onCatalog("Pending: follows the transitions of an image", 2, pendingFollows),
	}
}

// pendingPages has images of one age across the end of a page: a place that is only a time would lose some.
func pendingPages(t *testing.T, s CatalogStorage) {
	base := time.Now().Truncate(time.Second).Add(-time.Hour)
	var want []imagery.Pending
	for i, minute := range []int{3, 1, 2, 5, 4, 2, 2, 9} { // three have the same time, the last is too young
		img := inShard("a", base.Add(time.Duration(minute)*time.Minute))
		upload(t, s, img)
		if i < 7 {
			want = append(want, imagery.Pending{ID: img.ID, Updated: img.Updated})
		}
	}
	upload(t, s, inShard("b", base))
	slices.SortFunc(want, byAge)

	for _, limit := range []int{2, 3, 7, 100} {
		var got []imagery.Pending
		eventually(t, "all pending images are listed", func() bool { // the index may lag
			got = pages(t, s.Handles[1], "a", base.Add(5*time.Minute), limit)
			return len(got) >= len(want)
		})
		if !slices.IsSortedFunc(got, func(a, b imagery.Pending) int { return a.Updated.Compare(b.Updated) }) {
			t.Errorf("with limit %d the list is not sorted by age: %v", limit, got)
		}
		slices.SortFunc(got, byAge) // images of the same age come in any order
		if !slices.EqualFunc(got, want, func(a, b imagery.Pending) bool { return byAge(a, b) == 0 }) {
			t.Errorf("with limit %d got\n%v, want\n%v", limit, got, want)
		}
	}
	from, to := base.Add(2*time.Minute), base.Add(4*time.Minute)
	if got, _, err := s.Handles[1].Pending(t.Context(), "a", from, to, "", 100); err != nil || len(got) != 5 {
		t.Errorf("between minutes 2 and 4, both included, there are 5 images, not %v, %v", got, err)
	}
	if got := pages(t, s.Handles[1], "c", time.Now(), 10); len(got) != 0 {
		t.Errorf("an empty shard lists %v", got)
	}
}

// pendingFollows: an image that stays listed costs reads for ever, one that is not listed may wait for ever.
func pendingFollows(t *testing.T, s CatalogStorage) {
	created := inShard("d", time.Now().Truncate(time.Millisecond))
	must(t, s.Handles[0].Create(t.Context(), created, time.Now()))
	img := upload(t, s, inShard("d", created.Updated))
	listed := func(updated time.Time) func() bool {
		return func() bool {
			list := pages(t, s.Handles[1], "d", img.Updated.Add(time.Hour), 10)
			return len(list) == 1 && list[0].ID == img.ID && list[0].Updated.Equal(updated)
		}
	}
	eventually(t, "the uploaded image is listed, the created one is not", listed(img.Updated))
	for _, state := range []imagery.State{imagery.Failed, imagery.Processed} {
		from := img
		must(t, s.Handles[0].Touch(t.Context(), from, time.Now()))
		img = advance(from, state)
		must(t, s.Handles[0].Move(t.Context(), from, img))
		eventually(t, "a final image is not listed", func() bool {
			return len(pages(t, s.Handles[1], "d", img.Updated.Add(time.Hour), 10)) == 0
		})
		if state == imagery.Failed {
			img = upload(t, s, img)
			eventually(t, "the image uploaded again is listed under its new time", listed(img.Updated))
		}
	}
}

// pages reads the whole list.
func pages(t *testing.T, c imagery.Catalog, shard string, to time.Time, limit int) (all []imagery.Pending) {
	t.Helper()
	after := ""
	for range 100 {
		list, next, err := c.Pending(t.Context(), shard, time.Time{}, to, after, limit)
		must(t, err)
		if len(list) > limit {
			t.Fatalf("a page of %d images, limit %d", len(list), limit)
		}
		if all = append(all, list...); next == "" {
			return all
		}
		after = next
	}
	t.Fatal("the list has no end")
	return nil
}

// upload moves the image to Uploaded with the Updated time that it has, creating it if it is new.
func upload(t *testing.T, s CatalogStorage, img imagery.Image) imagery.Image {
	t.Helper()
	if img.Version == 0 {
		must(t, s.Handles[0].Create(t.Context(), img, img.Created))
	}
	to := advance(img, imagery.Uploaded)
	to.Updated = img.Updated
	must(t, s.Handles[0].Move(t.Context(), img, to))
	return to
}

// inShard is a new image whose id begins with that digit.
func inShard(digit string, updated time.Time) imagery.Image {
	img := newImage(updated)
	img.ID = digit + img.ID[1:]
	return img
}

func byAge(a, b imagery.Pending) int {
	if c := a.Updated.Compare(b.Updated); c != 0 {
		return c
	}
	return slices.Compare([]byte(a.ID), []byte(b.ID))
}
