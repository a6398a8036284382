package fsck

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver
)

// Local reads a data folder. Processes may run, but while they write, the table and the objects are of
// different moments and findings may be false.
func Local(dir string) (s Snapshot, err error) {
	path, err := filepath.Abs(filepath.Join(dir, "imagery.db"))
	if err != nil {
		return s, fmt.Errorf("find the database of %s: %w", dir, err)
	}
	if _, err := os.Stat(path); err != nil {
		return s, fmt.Errorf("find the database of %s: %w", dir, err)
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(10000)"}).String())
	if err != nil {
		return s, fmt.Errorf("open %s: %w", path, err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	if err := sound(db); err != nil {
		return s, fmt.Errorf("check %s: %w", path, err)
	}
	if err := rows(db, "SELECT item FROM images", func(r *sql.Rows) error {
		var text []byte
		if err := r.Scan(&text); err != nil {
			return err
		}
		var i Item
		if err := json.Unmarshal(text, &i); err != nil {
			return fmt.Errorf("item %s: %w", text, err)
		}
		s.Items = append(s.Items, i)
		return nil
	}); err != nil {
		return s, fmt.Errorf("read the images of %s: %w", path, err)
	}
	if err := rows(db, "SELECT body, sent, dead FROM messages", func(r *sql.Rows) error {
		var m Message
		err := r.Scan(&m.Body, &m.Sent, &m.Dead)
		s.Messages = append(s.Messages, m)
		return err
	}); err != nil {
		return s, fmt.Errorf("read the messages of %s: %w", path, err)
	}
	s.Objects, err = files(filepath.Join(dir, "objects"))
	return s, err
}

// sound runs SQLite's own check of the file.
func sound(db *sql.DB) error {
	var verdict string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return errors.New(verdict)
	}
	return nil
}

func rows(db *sql.DB, query string, each func(*sql.Rows) error) error {
	r, err := db.Query(query)
	if err != nil {
		return err
	}
	defer r.Close()
	for r.Next() {
		if err := each(r); err != nil {
			return err
		}
	}
	return r.Err()
}

// files hashes every object.
func files(root string) (map[string]string, error) {
	objects := map[string]string{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		key, err := filepath.Rel(root, path)
		objects[filepath.ToSlash(key)] = HashOf(data)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read the objects: %w", err)
	}
	return objects, nil
}
