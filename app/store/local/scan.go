package local

import (
	"context"
	"database/sql"
	"os"
	"time"

	"imagery/app/imagery"
)

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
