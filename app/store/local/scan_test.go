package local_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/store/local"
	"imagery/app/testing/short"
)

func TestPrepared(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	if !local.Prepared(dir) || local.Prepared(filepath.Join(dir, "objects")) ||
		local.Prepared(filepath.Join(dir, "nothing")) {
		t.Error("Prepared is true for a data folder only")
	}
	if _, err := os.Stat(filepath.Join(dir, "nothing")); err == nil {
		t.Error("Prepared created a folder")
	}
}

// Every image is returned once, although images are written between the pages.
func TestScan(t *testing.T) {
	t.Parallel()
	short.Skip(t, "a scan of many images")
	s := open(t, newDir(t))
	now := time.Now().Truncate(time.Millisecond)
	create := func() string {
		img := imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: now, Updated: now,
			Expires: now.Add(time.Hour).Truncate(time.Second)}
		must(t, s.Catalog().Create(t.Context(), img, now))
		return img.ID
	}
	want := map[string]int{}
	for range 1200 { // more than two pages
		want[create()] = 0
	}
	seen := 0
	must(t, s.Scan(t.Context(), func(img imagery.Image) error {
		if seen++; seen%400 == 0 {
			img.History = []imagery.Event{{At: now, State: imagery.Created}}
			must(t, s.Catalog().Move(t.Context(), img, img))
		}
		want[img.ID]++
		return nil
	}))
	for id, n := range want {
		if n != 1 {
			t.Errorf("%s was returned %d times", id, n)
		}
	}
	enough := errors.New("enough")
	if err := s.Scan(t.Context(), func(imagery.Image) error { return enough }); err != enough {
		t.Errorf("a scan that was stopped: %v", err)
	}
}

// An object is removed only if it is old and no image refers to it.
func TestRemoveObject(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := open(t, dir)
	now := time.Now().Truncate(time.Millisecond)
	id := imagery.NewID()
	raw, result := imagery.RawKey(id, "aa"), imagery.ProcessedKey(id, "aa", "png")
	for _, key := range []string{raw, result} {
		must(t, s.Blobs().Put(t.Context(), key, "image/png", strings.NewReader("x"), 1))
		must(t, s.Find(t.Context(), key))
	}
	remove := func(key string, before time.Time, want bool) {
		t.Helper()
		removed, err := s.RemoveObject(t.Context(), key, before)
		if there := s.Find(t.Context(), key) == nil; err != nil || removed != want || there == want {
			t.Errorf("remove %s: %t, %v, want %t; exists: %t", key, removed, err, want, there)
		}
	}
	remove(raw, now.Add(-time.Hour), false)
	img := imagery.Image{ID: id, State: imagery.Processed, Created: now, Updated: now, RawKey: raw, ProcessedKey: result}
	must(t, s.Catalog().Create(t.Context(), img, now))
	remove(raw, now.Add(time.Hour), false)
	remove(result, now.Add(time.Hour), false)
	to := img
	to.State, to.Version, to.RawKey, to.ProcessedKey = imagery.Uploaded, 1, imagery.RawKey(id, "bb"), ""
	must(t, s.Catalog().Move(t.Context(), img, to))
	remove(raw, now.Add(time.Hour), true)
	remove(result, now.Add(time.Hour), true)
	if removed, err := s.RemoveObject(t.Context(), raw, now); removed || err != nil {
		t.Errorf("removed twice: %v", err)
	}
	if _, err := s.RemoveObject(t.Context(), "../imagery.db", now.Add(time.Hour)); err == nil || !local.Prepared(dir) {
		t.Errorf("a key that leads out of the folder: %v", err)
	}
	if left, err := os.ReadDir(filepath.Join(dir, "tmp")); err != nil || len(left) > 0 {
		t.Errorf("left in tmp: %v, %v", left, err)
	}
	for key, want := range map[string]error{"upload": imagery.ErrNotFound, "upload/" + id: imagery.ErrNotFound,
		"../imagery.db": imagery.ErrNotFound} {
		if err := s.Find(t.Context(), key); !errors.Is(err, want) {
			t.Errorf("find %q: %v", key, err)
		}
	}
}
