package local_test

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/store/local"
)

// unpack extracts a data folder that an earlier release made, see testdata/README.md.
func unpack(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Open("testdata/folder-release-1.tar.gz")
	must(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	must(t, err)
	for r := tar.NewReader(z); ; {
		h, err := r.Next()
		if err == io.EOF {
			return filepath.Join(dir, "data")
		}
		must(t, err)
		name := filepath.Join(dir, h.Name)
		if h.FileInfo().IsDir() {
			must(t, os.MkdirAll(name, 0o755))
			continue
		}
		out, err := os.OpenFile(name, os.O_CREATE|os.O_WRONLY, h.FileInfo().Mode())
		must(t, err)
		_, err = io.Copy(out, r)
		must(t, errors.Join(err, out.Close()))
		must(t, os.Chtimes(name, h.ModTime, h.ModTime))
	}
}

// A folder of the release that wrote no marker is migrated: its images are served, and its originals are kept as long
// as they are needed.
func TestFolderOfPreviousReleaseIsMigrated(t *testing.T) {
	t.Parallel()
	dir := unpack(t)
	must(t, local.Check(dir))
	before := snapshot(t, dir)
	if _, err := os.Stat(filepath.Join(dir, "imagery-data.txt")); err == nil {
		t.Fatal("the fixture has a marker")
	}
	must(t, local.Prepare(dir))
	if snapshot(t, dir) == before {
		t.Error("nothing was migrated")
	}
	var id int
	must(t, database(t, dir).QueryRow("PRAGMA application_id").Scan(&id))
	if id == 0 {
		t.Error("the database is not marked as ours")
	}
	s := open(t, dir)
	n := map[imagery.State]int{}
	must(t, s.Scan(t.Context(), func(img imagery.Image) error {
		n[img.State]++
		for _, key := range []string{img.RawKey, img.ProcessedKey} {
			if key == "" {
				continue
			}
			if body, err := s.Blobs().Get(t.Context(), key, 1<<20); err != nil || len(body) == 0 {
				t.Errorf("%s: %d bytes, %v", key, len(body), err)
			}
		}
		return nil
	}))
	if n[imagery.Processed] != 1 || n[imagery.Uploaded] != 1 || n[imagery.Created] != 1 {
		t.Errorf("images: %v", n)
	}
	later := time.Now().Add(10 * 365 * 24 * time.Hour)
	r, err := s.Sweep(t.Context(), later, time.Hour)
	if err != nil || r.Objects != 1 || r.Images != 1 {
		t.Errorf("sweep: %+v, %v; want the processed image's original and the expired image removed", r, err)
	}
	must(t, s.Scan(t.Context(), func(img imagery.Image) error {
		if img.State == imagery.Uploaded {
			return s.Find(t.Context(), img.RawKey)
		}
		return s.Find(t.Context(), img.ProcessedKey)
	}))
}

// A truncated marker does not count: it is left by a process that died before it created anything else.
func TestTruncatedMarkerDoesNotCount(t *testing.T) {
	t.Parallel()
	for _, marker := range []string{"", "This is a data fol"} {
		dir := t.TempDir()
		must(t, os.WriteFile(filepath.Join(dir, "imagery-data.txt"), []byte(marker), 0o600))
		write(t, filepath.Join(dir, "tmp", "2024-202401011230"))
		if err := local.Prepare(dir); err == nil {
			t.Errorf("%q: the folder was accepted as ours", marker)
		}
		must(t, os.RemoveAll(filepath.Join(dir, "tmp")))
		must(t, local.Prepare(dir))
		must(t, local.Prepare(dir))
		must(t, open(t, dir).Catalog().Ping(t.Context()))
	}
}

// A migration that was interrupted at any point is completed by the next one.
func TestInterruptedMigrationIsCompleted(t *testing.T) {
	t.Parallel()
	for _, marker := range []string{"", "This is a data fol"} {
		dir := unpack(t)
		must(t, os.WriteFile(filepath.Join(dir, "imagery-data.txt"), []byte(marker), 0o600))
		must(t, local.Prepare(dir))
		open(t, dir)
	}
}
