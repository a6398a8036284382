package local

import (
	"context"
	"os"
	"time"

	"imagery/app/imagery"
)

// What follows is for operators: the roles list nothing and remove nothing but what Sweep does.

// scanPage bounds one read of Scan: a long one would keep SQLite from clearing its write-ahead log.
const scanPage = 500

// Prepared reports whether dir is a data folder, so that a mistyped path does not create one.
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
	if err := s.intact(); err != nil {
		return nil, 0, err
	}
	const query = "SELECT rowid, item FROM images WHERE rowid > ? ORDER BY rowid LIMIT ?"
	rows, err := s.reader.QueryContext(ctx, query, after, scanPage)
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
	f, _, err := blobs{s.root}.open(key)
	if err != nil {
		return err
	}
	return f.Close()
}

// RemoveObject removes an object that no image names and that was put before the given time; removed is false
// if it is gone, newer or named. A file that is put meanwhile stays.
func (s *Store) RemoveObject(ctx context.Context, key string, before time.Time) (removed bool, err error) {
	return s.remove(ctx, key, before, "(rawS3Key = ?2 OR item ->> '$.processedS3Key' = ?2)")
}
