package local

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"imagery/app/imagery"
)

// catalog implements imagery.Catalog on the table images. Each method is one SQL statement, so that a condition and its
// write are atomic, also when the process is killed.
type catalog struct{ s *Store }

// Create implements imagery.Catalog. It replaces an expired item with all its unknown attributes, because that was
// another image with the same id.
func (c catalog) Create(ctx context.Context, img imagery.Image, now time.Time) error {
	n, err := c.s.exec(ctx, `
		INSERT INTO images (item) VALUES (?)
		ON CONFLICT (id) DO UPDATE SET item = excluded.item WHERE images.expires <= ?`,
		encode(img), now.Unix())
	return checkChanged(n, err, imagery.ErrExists)
}

// Get implements imagery.Catalog. The read is consistent, because its transaction begins with the call and sees
// everything that any process has committed before.
func (c catalog) Get(ctx context.Context, id string) (imagery.Image, error) {
	var doc string
	err := c.s.row(ctx, []any{&doc}, "SELECT item FROM images WHERE id = ?", id)
	if errors.Is(err, sql.ErrNoRows) {
		return imagery.Image{}, imagery.ErrNotFound
	}
	if err != nil {
		return imagery.Image{}, err
	}
	return decode(doc)
}

// Move implements imagery.Catalog. It keeps attributes that are unknown to this release.
func (c catalog) Move(ctx context.Context, from, to imagery.Image) error {
	n, err := c.s.exec(ctx, `
		UPDATE images SET item = json_patch(json_remove(item, '$.`+strings.Join(imagery.MovedAttributes, "', '$.")+`'), ?)
		WHERE id = ? AND version = ? AND state = ? AND ifnull(rawS3Key, '') = ?`,
		encode(to), from.ID, from.Version, string(from.State), from.RawKey)
	return checkChanged(n, err, imagery.ErrConflict)
}

// Touch implements imagery.Catalog. It writes a single attribute, because img may be older than the stored item.
func (c catalog) Touch(ctx context.Context, img imagery.Image, hinted time.Time) error {
	n, err := c.s.exec(ctx, "UPDATE images SET item = json_set(item, '$.hinted', ?) WHERE id = ? AND version = ?",
		hinted.UnixMilli(), img.ID, img.Version)
	return checkChanged(n, err, imagery.ErrConflict)
}

// Pending implements imagery.Catalog. A cursor is the updated time and the id of the last image of a page, so images
// that appear or disappear between two pages neither repeat nor hide others.
func (c catalog) Pending(ctx context.Context, shard string, from, to time.Time, after string, limit int) (
	list []imagery.Pending, next string, err error) {
	var cursor struct {
		updated int64
		id      string
	}
	if after != "" {
		if _, err := fmt.Sscanf(after, "%d/%s", &cursor.updated, &cursor.id); err != nil {
			return nil, "", fmt.Errorf("%q is not a cursor of the pending images: %w", after, err)
		}
	}
	err = c.s.rows(ctx, func(rows *sql.Rows) error {
		err := rows.Scan(&cursor.id, &cursor.updated)
		list = append(list, imagery.Pending{ID: cursor.id, Updated: time.UnixMilli(cursor.updated).UTC()})
		return err
	}, `SELECT id, updated FROM images
		WHERE pending = ? AND updated BETWEEN ? AND ? AND (updated, id) > (?, ?)
		ORDER BY updated, id LIMIT ?`, shard, imagery.Millis(from), to.UnixMilli(), cursor.updated, cursor.id, limit)
	if err != nil {
		return nil, "", err
	}
	if len(list) == limit { // the next page may be empty
		next = fmt.Sprintf("%d/%s", cursor.updated, cursor.id)
	}
	return list, next, nil
}

// Lease implements imagery.Catalog.
func (c catalog) Lease(ctx context.Context, name, holder string, now, until time.Time) (bool, error) {
	n, err := c.s.exec(ctx, `
		INSERT INTO leases (name, holder, until) VALUES (?, ?, ?)
		ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, until = excluded.until
		WHERE leases.holder = excluded.holder OR leases.until < ?`,
		name, holder, until.UnixMilli(), now.UnixMilli())
	return n == 1, err
}

// Ping implements imagery.Catalog. It takes the write lock unless this process has written recently, because a table
// that is not writable, such as one that another process has locked, is not ready. Both statements name the table,
// because SELECT 1 succeeds on an empty file.
func (c catalog) Ping(ctx context.Context) error {
	if time.Since(time.UnixMilli(c.s.wrote.Load())) < callTimeout {
		var n int
		return c.s.row(ctx, []any{&n}, "SELECT count(*) FROM (SELECT 1 FROM images LIMIT 1)")
	}
	_, err := c.s.exec(ctx, "UPDATE images SET item = item WHERE 0")
	return err
}

// checkChanged returns the error of a conditional write: err, or failed if no row met the condition.
func checkChanged(n int64, err, failed error) error {
	if err == nil && n == 0 {
		return failed
	}
	return err
}

func encode(img imagery.Image) string {
	b, err := json.Marshal(img.Item())
	if err != nil {
		panic(err) // strings, numbers and times of this millennium always marshal
	}
	return string(b)
}

func decode(doc string) (imagery.Image, error) {
	var it imagery.Item
	if err := json.Unmarshal([]byte(doc), &it); err != nil {
		return imagery.Image{}, fmt.Errorf("stored item: %w", err)
	}
	return it.Image(), nil
}

// The functions below are for operators. The roles do not use them.

// scanPage limits the images in one read of Scan, because a long read keeps SQLite from clearing its write-ahead log.
const scanPage = 500

// Prepared reports whether dir is a data folder, so that a mistyped path does not create one.
func Prepared(dir string) bool {
	info, err := os.Stat(databasePath(dir))
	return err == nil && info.Mode().IsRegular()
}

// Scan calls each with every image, expired ones included, until each returns an error. An image that is written
// meanwhile may appear as before or as after the write.
func (s *Store) Scan(ctx context.Context, each func(imagery.Image) error) error {
	for last, n := int64(0), scanPage; n == scanPage; {
		var page []imagery.Image
		err := s.rows(ctx, func(rows *sql.Rows) error {
			var doc string
			if err := rows.Scan(&last, &doc); err != nil {
				return err
			}
			img, err := decode(doc)
			page = append(page, img)
			return err
		}, "SELECT rowid, item FROM images WHERE rowid > ? ORDER BY rowid LIMIT ?", last, scanPage)
		if err != nil {
			return err
		}
		for _, img := range page {
			if err := each(img); err != nil {
				return err
			}
		}
		n = len(page)
	}
	return nil
}

// Find implements imagery.Finder.
func (s *Store) Find(_ context.Context, key string) error {
	f, _, err := blobs{s.root}.open(key)
	if err != nil {
		return err
	}
	return f.Close()
}

// RemoveObject removes an object that no image refers to and that was stored before the given time; else removed is
// false. An object that is stored meanwhile is kept.
func (s *Store) RemoveObject(ctx context.Context, key string, before time.Time) (removed bool, err error) {
	return s.remove(ctx, key, before, "(rawS3Key = ?2 OR item ->> '$.processedS3Key' = ?2)")
}
