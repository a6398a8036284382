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
	"time"

	_ "modernc.org/sqlite" // the driver
)

// Local reads a data folder. If processes write at the same time, the items and the objects are from different moments,
// and findings may be false.
func Local(dir string) (s Snapshot, err error) {
	err = withDatabase(dir, func(db *sql.DB) error {
		return errors.Join(
			rows(db, "SELECT item FROM images", func(r *sql.Rows) error {
				var text []byte
				var i Item
				if err := r.Scan(&text); err != nil {
					return err
				}
				if err := json.Unmarshal(text, &i); err != nil {
					return fmt.Errorf("decode item %s: %w", text, err)
				}
				s.Items = append(s.Items, i)
				return nil
			}),
			rows(db, "SELECT body, sent, dead FROM messages", func(r *sql.Rows) error {
				var m Message
				err := r.Scan(&m.Body, &m.Sent, &m.Dead)
				s.Messages = append(s.Messages, m)
				return err
			}))
	})
	if err != nil {
		return s, err
	}
	return s, s.readObjects(filepath.Join(dir, "objects"))
}

// Newest returns the time of the newest transition in a data folder, zero if there is none. It returns an error if the
// database is damaged.
func Newest(dir string) (at time.Time, err error) {
	var ms sql.NullInt64
	err = withDatabase(dir, func(db *sql.DB) error { return db.QueryRow("SELECT max(updated) FROM images").Scan(&ms) })
	if ms.Valid {
		at = time.UnixMilli(ms.Int64)
	}
	return at, err
}

// withDatabase opens the database of a data folder, checks that its file is not damaged, and calls read.
func withDatabase(dir string, read func(*sql.DB) error) error {
	path, err := filepath.Abs(filepath.Join(dir, "imagery.db"))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		return fmt.Errorf("find the database of %s: %w", dir, err)
	}
	source := url.URL{Scheme: "file", Path: path, RawQuery: "_pragma=busy_timeout(10000)"}
	db, err := sql.Open("sqlite", source.String())
	if err != nil {
		return fmt.Errorf("open %s: %w", path, err)
	}
	var result string
	if err = db.QueryRow("PRAGMA integrity_check").Scan(&result); err == nil && result != "ok" {
		err = errors.New(result)
	}
	if err == nil {
		err = read(db)
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return fmt.Errorf("read %s: %w", path, err)
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

// readObjects reads and hashes all objects below root into the snapshot.
func (s *Snapshot) readObjects(root string) error {
	s.Objects, s.Stored = map[string]string{}, map[string]time.Time{}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			return nil
		}
		var data []byte
		if err == nil {
			data, err = os.ReadFile(path)
		}
		if errors.Is(err, fs.ErrNotExist) && path != root {
			return nil // removed since the folder was read
		}
		if err != nil {
			return err
		}
		info, statErr := d.Info()
		key, relErr := filepath.Rel(root, path)
		if err := errors.Join(statErr, relErr); err != nil {
			return err
		}
		key = filepath.ToSlash(key)
		s.Objects[key], s.Stored[key] = HashOf(data), info.ModTime()
		return nil
	})
	if err != nil {
		return fmt.Errorf("read the objects: %w", err)
	}
	return nil
}
