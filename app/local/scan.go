package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"imagery/app/imagery"
)

// What follows is for operators: the roles list nothing and remove nothing but what Sweep does.

// scanPage bounds one read of Scan: a long one would keep SQLite from clearing its write-ahead log.
const scanPage = 500

// Prepared reports whether dir is a data folder: somebody who looks for images must not make one by a typing
// error.
func Prepared(dir string) bool {
	info, err := os.Stat(databasePath(dir))
	return err == nil && info.Mode().IsRegular()
}

// Scan hands every image to each, expired ones too, until each returns an error. Images that are written
// meanwhile come as they were or as they are.
func (s *Store) Scan(ctx context.Context, each func(imagery.Image) error) error {
	for last := int64(0); ; {
		page, next, err := s.page(ctx, last)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, img := range page {
			if err := each(img); err != nil {
				return err
			}
		}
		last = next
	}
}

// page reads the images behind a row.
func (s *Store) page(ctx context.Context, after int64) (list []imagery.Image, last int64, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	rows, err := s.reader.QueryContext(ctx, "SELECT rowid, item FROM images WHERE rowid > ? ORDER BY rowid LIMIT ?", after, scanPage)
	if err != nil {
		return nil, 0, err
	}
	defer rows.Close()
	for rows.Next() {
		var doc string
		if err := rows.Scan(&last, &doc); err != nil {
			return nil, 0, err
		}
		img, err := parse(doc)
		if err != nil {
			return nil, 0, err
		}
		list = append(list, img)
	}
	return list, last, rows.Err()
}

// Find implements imagery.Finder.
func (s *Store) Find(_ context.Context, key string) error {
	path, ok := blobs{dir: s.opts.Dir}.path(key)
	if !ok {
		return imagery.ErrNotFound
	}
	info, err := os.Stat(path)
	if err != nil {
		return absent(err)
	}
	if !info.Mode().IsRegular() {
		return imagery.ErrNotFound
	}
	return nil
}

// RemoveObject removes an object that no image names and that was put before the given time; removed is false
// if it is gone, newer or named. As in removeOriginal, the transaction keeps images from naming it meanwhile,
// and a file that somebody puts meanwhile stays.
func (s *Store) RemoveObject(ctx context.Context, key string, before time.Time) (removed bool, err error) {
	path, ok := blobs{dir: s.opts.Dir}.path(key)
	if !ok {
		return false, fmt.Errorf("object key %q is not allowed", key)
	}
	aside := filepath.Join(tmpDir(s.opts.Dir), strconv.Itoa(os.Getpid())+"-"+strings.ReplaceAll(key, "/", "-"))
	err = s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		var named bool
		err := tx.QueryRowContext(ctx, "SELECT count(*) > 0 FROM images WHERE id = ? AND (rawS3Key = ? OR item ->> '$.processedS3Key' = ?)",
			ownerOf(key), key, key).Scan(&named)
		if err != nil || named {
			return err
		}
		if err := os.Rename(path, aside); errors.Is(err, fs.ErrNotExist) {
			return nil
		} else if err != nil {
			return err
		}
		info, err := os.Stat(aside)
		if err != nil || !info.ModTime().Before(before) {
			return errors.Join(err, os.Rename(aside, path))
		}
		removed = true
		return os.Remove(aside)
	})
	return removed, err
}

// ownerOf returns the id in a key: the 36 characters behind its first slash.
func ownerOf(key string) string {
	_, id, _ := strings.Cut(key, "/")
	return id[:min(len(id), 36)]
}
