package local_test

import (
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/conformance"
	"imagery/app/testing/short"
)

// TestConformance uses a process for each handle of the catalog and the queue, as a fleet does.
func TestConformance(t *testing.T) {
	short.Skip(t, "the conformance suite on SQLite and files")
	conformance.Run(t, conformance.Target{
		Name:       "local",
		Visibility: 500 * time.Millisecond,
		Exact:      true,
		Catalog:    openCatalogs,
		Blobs: func(t *testing.T, n int) (all []imagery.Blobs) {
			dir := newDir(t)
			for range n {
				all = append(all, open(t, dir).Blobs())
			}
			return all
		},
		Queue: func(t *testing.T, n int, l imagery.Limits) (s conformance.QueueStorage) {
			for _, p := range spawn(t, newDir(t), n, visibility+"="+l.Visibility.String(),
				fmt.Sprint(maxReceives, "=", l.MaxReceives)) {
				s.Handles, s.DeadLetters = append(s.Handles, p.Queue), append(s.DeadLetters, p.DeadLetters)
			}
			return s
		},
	})
}

func openCatalogs(t *testing.T, n int) (s conformance.CatalogStorage) {
	dir := newDir(t)
	for _, p := range spawn(t, dir, n) {
		s.Handles = append(s.Handles, p.Catalog)
	}
	db := database(t, dir)
	s.SetAttribute = func(id, name, value string) error {
		_, err := db.Exec("UPDATE images SET item = json_set(item, '$.' || ?, ?) WHERE id = ?", name, value, id)
		return err
	}
	s.Attribute = func(id, name string) (value string, ok bool, err error) {
		err = db.QueryRow("SELECT atom FROM images, json_each(item) WHERE images.id = ? AND key = ?", id, name).Scan(&value)
		if errors.Is(err, sql.ErrNoRows) {
			return "", false, nil
		}
		return value, err == nil, err
	}
	return s
}

// spawn starts n processes on the folder.
func spawn(t *testing.T, dir string, n int, env ...string) (all []conformance.Ports) {
	for range n {
		all = append(all, conformance.Spawn(t, append(env, servePorts+"="+dir)...))
	}
	return all
}

// database opens the data folder's database without the store.
func database(t testing.TB, dir string) *sql.DB {
	t.Helper()
	db := openSQL(t, filepath.Join(dir, "imagery.db"))
	t.Cleanup(func() { must(t, db.Close()) })
	return db
}

func openSQL(t testing.TB, path string) *sql.DB {
	t.Helper()
	name := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(10000)&_txlock=immediate"}
	db, err := sql.Open("sqlite", name.String())
	must(t, err)
	return db
}
