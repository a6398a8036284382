package local_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/short"
)

// anyHash is used in keys of originals whose content does not matter.
var anyHash = strings.Repeat("0f", 32)

func TestSweepRemovesFilesOfDeadProcesses(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := open(t, dir)
	gone := exec.Command(os.Args[0], "-test.run=^$")
	must(t, gone.Run())
	now := time.Now()
	keep := map[string]bool{}
	for name, c := range map[string]struct {
		age  time.Duration
		keep bool
	}{
		fmt.Sprintf("%d-%d", gone.Process.Pid, uint64(1e15)): {0, false},
		fmt.Sprintf("%d-%020d", gone.Process.Pid, 1):         {0, false},
		fmt.Sprintf("%d-%020d", os.Getpid(), 1):              {time.Minute, true},
		fmt.Sprintf("%d-%020d", os.Getpid(), 2):              {2 * time.Hour, false}, // of a process that had this pid before
		fmt.Sprintf("%d-%020d", os.Getppid(), 1):             {time.Minute, true},
		fmt.Sprintf("%d-1", gone.Process.Pid):                {2 * time.Hour, true}, // from here on: not our forms
		fmt.Sprintf("%d-%020d.jpg", gone.Process.Pid, 1):     {2 * time.Hour, true},
		fmt.Sprintf("%d~notes~2026", gone.Process.Pid):       {2 * time.Hour, true},
		fmt.Sprintf("%d-upload-holiday", gone.Process.Pid):   {2 * time.Hour, true},
		"notes": {2 * time.Hour, true},
	} {
		path := filepath.Join(dir, "tmp", name)
		must(t, os.WriteFile(path, []byte("half"), 0o600))
		must(t, os.Chtimes(path, now.Add(-c.age), now.Add(-c.age)))
		keep[name] = c.keep
	}
	r, err := s.Sweep(t.Context(), now, time.Hour)
	if err != nil || r.TempFiles != 3 {
		t.Errorf("sweep: %+v, %v", r, err)
	}
	for name, want := range keep {
		if _, err := os.Stat(filepath.Join(dir, "tmp", name)); (err == nil) != want {
			t.Errorf("%s: %v, want kept: %v", name, err, want)
		}
	}
}

func TestSweepRemovesExpiredImages(t *testing.T) {
	t.Parallel()
	short.Skip(t, "the sweep of expired images")
	s := open(t, newDir(t))
	now := time.Now().Truncate(time.Second)
	create := func(expires time.Time) imagery.Image {
		img := imagery.Image{ID: imagery.NewID(), State: imagery.Created, Created: now, Updated: now, Expires: expires}
		must(t, s.Catalog().Create(t.Context(), img, now))
		return img
	}
	for range 1200 { // more than one batch
		create(now)
	}
	young, uploaded := create(now.Add(time.Second)), create(now)
	to := uploaded
	to.State, to.Version, to.Expires, to.RawKey = imagery.Uploaded, 1, time.Time{}, imagery.RawKey(to.ID, "hash")
	must(t, s.Catalog().Move(t.Context(), uploaded, to))

	r, err := s.Sweep(t.Context(), now, time.Hour)
	if err != nil || r.Images != 1200 {
		t.Errorf("sweep: %+v, %v", r, err)
	}
	for _, img := range []imagery.Image{young, uploaded} {
		if _, err := s.Catalog().Get(t.Context(), img.ID); err != nil {
			t.Errorf("an unexpired image was removed: %v", err)
		}
	}
}

func TestSweepRemovesOldOriginals(t *testing.T) {
	t.Parallel()
	dir := newDir(t)
	s := open(t, dir)
	now := time.Now()
	put := func(key string, age time.Duration) {
		must(t, s.Blobs().Put(t.Context(), key, "", strings.NewReader("x"), 1))
		must(t, os.Chtimes(filepath.Join(dir, "objects", key), now.Add(-age), now.Add(-age)))
	}
	const old = 48 * time.Hour
	keep := map[string]bool{}
	for _, c := range []struct {
		state    imagery.State // of the image that has the key; empty for an orphan
		suffix   string        // of the key, after the id
		otherKey bool          // the image has another key
		age      time.Duration
		keep     bool
	}{
		{"", "/" + anyHash, false, old, false},
		{"", "/" + anyHash, false, time.Hour, true},
		{imagery.Uploaded, "/" + anyHash, false, old, true},
		{imagery.Uploaded, "/" + anyHash, true, old, false},
		{imagery.Uploaded, "-1447430400000", false, old, true},
		{imagery.Failed, "/" + anyHash, false, old, false},
		{imagery.Processed, "/" + anyHash, false, old, false},
		{imagery.Processed, "/" + anyHash, false, time.Hour, true},
	} {
		img := imagery.Image{ID: imagery.NewID(), State: c.state, Created: now, Updated: now}
		key := "upload/" + img.ID + c.suffix
		put(key, c.age)
		result := imagery.ProcessedKey(img.ID, "hash", "jpg")
		put(result, old)
		keep[key], keep[result] = c.keep, true
		if img.RawKey = key; c.otherKey {
			img.RawKey += "0"
		}
		if c.state != "" {
			must(t, s.Catalog().Create(t.Context(), img, now))
		}
	}
	r, err := s.Sweep(t.Context(), now, 24*time.Hour)
	if err != nil || r.Objects != 4 {
		t.Errorf("sweep: %+v, %v", r, err)
	}
	_, err = s.Sweep(t.Context(), now.Add(2*time.Hour), 26*time.Hour) // for folders that are empty since a while
	must(t, err)
	folders := map[string]bool{}
	for key, want := range keep {
		if _, err := s.Blobs().Get(t.Context(), key, 10); (err == nil) != want {
			t.Errorf("%s: %v, want kept: %v", key, err, want)
		}
		if want {
			folders[filepath.Dir(filepath.Join(dir, "objects", key))] = true
		}
	}
	for _, path := range tree(t, filepath.Join(dir, "objects")) {
		if info, err := os.Stat(path); err != nil || info.IsDir() && filepath.Base(filepath.Dir(path)) == "upload" &&
			!folders[path] {
			t.Errorf("an empty folder was not removed: %s, %v", path, err)
		}
	}
}

// A client may store an original again while it is being removed for its age. The new object must be kept.
func TestSweepKeepsObjectStoredMeanwhile(t *testing.T) {
	t.Parallel()
	short.Skip(t, "sweeps while objects are put")
	dir := newDir(t)
	s := open(t, dir)
	sweepMeanwhile(t, dir)
	for i := range 150 {
		key := imagery.RawKey(imagery.NewID(), anyHash)
		path := filepath.Join(dir, "objects", key)
		must(t, s.Blobs().Put(t.Context(), key, "", strings.NewReader("first"), 5))
		age(t, path)
		must(t, s.Blobs().Put(t.Context(), key, "", strings.NewReader("again"), 5))
		var err error
		for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); { // it may be set aside for an instant
			if _, err = s.Blobs().Get(t.Context(), key, 10); err == nil {
				break
			}
		}
		if err != nil {
			t.Fatalf("round %d: %v", i, err)
		}
	}
}

// A client may store an object in a folder that is being removed because it is empty.
func TestSweepKeepsFolderThatGetsFile(t *testing.T) {
	t.Parallel()
	short.Skip(t, "sweeps while files are written")
	dir := newDir(t)
	s := open(t, dir)
	sweepMeanwhile(t, dir)
	var putting sync.WaitGroup
	for range 4 {
		putting.Go(func() {
			for range 300 {
				key := imagery.RawKey(imagery.NewID(), anyHash)
				folder := filepath.Dir(filepath.Join(dir, "objects", key))
				try(t, os.MkdirAll(folder, 0o700))
				age(t, folder)
				try(t, s.Blobs().Put(t.Context(), key, "", strings.NewReader("x"), 1))
				try(t, os.RemoveAll(folder))
			}
		})
	}
	putting.Wait()
}

// sweepMeanwhile sweeps the folder repeatedly until the test ends.
func sweepMeanwhile(t *testing.T, dir string) {
	s := open(t, dir)
	ctx, cancel := context.WithCancel(context.Background())
	var sweeping sync.WaitGroup
	var swept int
	sweeping.Go(func() {
		for ctx.Err() == nil {
			r, err := s.Sweep(context.Background(), time.Now(), time.Hour) // the test's context ends before the cleanup
			try(t, err)
			swept += r.Objects
		}
	})
	t.Cleanup(func() {
		cancel()
		sweeping.Wait()
		t.Logf("%d old originals were removed meanwhile", swept)
	})
}

// age sets an old modification time, unless a sweep has just removed the file or folder.
func age(t *testing.T, path string) {
	t.Helper()
	old := time.Now().Add(-2 * time.Hour)
	if err := os.Chtimes(path, old, old); !errors.Is(err, os.ErrNotExist) {
		try(t, err) // also called outside of the test's own goroutine
	}
}
