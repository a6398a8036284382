package local

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"imagery/app/imagery"
)

// catalog implements imagery.Catalog on the table images. Each method is one statement: a condition and its
// write cannot be torn apart by another process, and a killed one leaves all of it or nothing.
type catalog struct{ s *Store }

// item is an image as stored. An attribute without a value is nil: JSON null, which json_patch takes as
// "remove the attribute".
type item struct {
	ID           string          `json:"id"`
	Version      int64           `json:"version"`
	State        imagery.State   `json:"state"`
	Created      *int64          `json:"created"` // ms, as updated and hinted
	Updated      *int64          `json:"updated"`
	Hinted       *int64          `json:"hinted"`
	Expires      *int64          `json:"expires"` // s
	RawKey       *string         `json:"rawS3Key"`
	ProcessedKey *string         `json:"processedS3Key"`
	Error        *string         `json:"error"`
	Pending      *string         `json:"pending"`
	History      []imagery.Event `json:"history"`
}

// Create implements imagery.Catalog. An expired item is replaced whole, with what we do not know of it: it
// was another image that happened to have this id.
func (c catalog) Create(ctx context.Context, img imagery.Image, now time.Time) error {
	n, err := c.s.exec(ctx, `
		INSERT INTO images (item) VALUES (json_patch('{}', ?))
		ON CONFLICT (id) DO UPDATE SET item = excluded.item WHERE images.expires <= ?`,
		document(img), now.Unix())
	return changed(n, err, imagery.ErrExists)
}

// Get implements imagery.Catalog. A reader's transaction begins with the call and sees all that was committed
// before, by any process: that is the consistent read.
func (c catalog) Get(ctx context.Context, id string) (imagery.Image, error) {
	var doc string
	err := c.s.row(ctx, []any{&doc}, "SELECT item FROM images WHERE id = ?", id)
	if errors.Is(err, sql.ErrNoRows) {
		return imagery.Image{}, imagery.ErrNotFound
	}
	if err != nil {
		return imagery.Image{}, err
	}
	return parse(doc)
}

// Move implements imagery.Catalog. The patch names every attribute that we know, so it removes what is no
// longer set, and leaves alone what it does not name.
func (c catalog) Move(ctx context.Context, from, to imagery.Image) error {
	n, err := c.s.exec(ctx, `
		UPDATE images SET item = json_patch(item, ?)
		WHERE id = ? AND version = ? AND state = ? AND ifnull(rawS3Key, '') = ?`,
		document(to), from.ID, from.Version, string(from.State), from.RawKey)
	return changed(n, err, imagery.ErrConflict)
}

// Touch implements imagery.Catalog. It writes the one attribute instead of the image that the caller read,
// which may be older than what is stored.
func (c catalog) Touch(ctx context.Context, img imagery.Image, hinted time.Time) error {
	n, err := c.s.exec(ctx, "UPDATE images SET item = json_set(item, '$.hinted', ?) WHERE id = ? AND version = ?",
		hinted.UnixMilli(), img.ID, img.Version)
	return changed(n, err, imagery.ErrConflict)
}

// Pending implements imagery.Catalog. The place where a page ends is the updated time and the id of its last
// image, so images that come and go between two pages neither repeat nor hide others.
func (c catalog) Pending(ctx context.Context, shard string, from, to time.Time, after string, limit int) (list []imagery.Pending, next string, err error) {
	var place struct {
		updated int64
		id      string
	}
	if after != "" {
		if _, err := fmt.Sscanf(after, "%d/%s", &place.updated, &place.id); err != nil {
			return nil, "", fmt.Errorf("page %q: %w", after, err)
		}
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := c.s.intact(); err != nil {
		return nil, "", err
	}
	rows, err := c.s.reader.QueryContext(ctx, `
		SELECT id, updated FROM images
		WHERE pending = ? AND updated BETWEEN ? AND ? AND (updated, id) > (?, ?)
		ORDER BY updated, id LIMIT ?`, shard, milli(from), to.UnixMilli(), place.updated, place.id, limit)
	if err != nil {
		return nil, "", err
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&place.id, &place.updated); err != nil {
			return nil, "", err
		}
		list = append(list, imagery.Pending{ID: place.id, Updated: time.UnixMilli(place.updated).UTC()})
	}
	if len(list) == limit { // perhaps the last one all the same; the next page is empty then
		next = fmt.Sprintf("%d/%s", place.updated, place.id)
	}
	return list, next, rows.Err()
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

// milli is a time as stored; the zero time comes before all others.
func milli(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// Ping implements imagery.Catalog. It takes the write lock, unless this process has written a moment ago: a table that
// can be read and not written, because another process holds the lock, must not look ready. Both statements name the
// table: an empty file answers SELECT 1.
func (c catalog) Ping(ctx context.Context) error {
	if time.Since(time.UnixMilli(c.s.wrote.Load())) < callTimeout {
		var n int
		return c.s.row(ctx, []any{&n}, "SELECT count(*) FROM (SELECT 1 FROM images LIMIT 1)")
	}
	_, err := c.s.exec(ctx, "UPDATE images SET item = item WHERE 0")
	return err
}

// changed turns the outcome of a conditional write into the port's answer: a write that found no row that
// meets its condition lost.
func changed(n int64, err, lost error) error {
	if err == nil && n == 0 {
		return lost
	}
	return err
}

// document renders all attributes of an image, as a merge patch.
func document(img imagery.Image) string {
	b, err := json.Marshal(item{
		ID: img.ID, Version: img.Version, State: img.State,
		Created: millis(img.Created), Updated: millis(img.Updated), Hinted: millis(img.Hinted),
		Expires: optional(max(img.Expires.Unix(), 0)), // the zero time lies before 1970
		RawKey:  optional(img.RawKey), ProcessedKey: optional(img.ProcessedKey), Error: optional(img.Error),
		Pending: optional(img.PendingShard()), History: img.History,
	})
	if err != nil {
		panic(err) // strings, numbers and times of this millennium always marshal
	}
	return string(b)
}

// parse reads a stored item; attributes that we do not know are left where they are.
func parse(doc string) (imagery.Image, error) {
	var it item
	if err := json.Unmarshal([]byte(doc), &it); err != nil {
		return imagery.Image{}, fmt.Errorf("stored item: %w", err)
	}
	img := imagery.Image{
		ID: it.ID, Version: it.Version, State: it.State,
		Created: instant(it.Created), Updated: instant(it.Updated), Hinted: instant(it.Hinted),
		RawKey: value(it.RawKey), ProcessedKey: value(it.ProcessedKey), Error: value(it.Error),
		History: it.History,
	}
	if it.Expires != nil {
		img.Expires = time.Unix(*it.Expires, 0).UTC()
	}
	return img, nil
}

// millis returns nil for the zero time: such an attribute is not stored.
func millis(t time.Time) *int64 {
	if t.IsZero() {
		return nil
	}
	ms := t.UnixMilli()
	return &ms
}

// instant reads what millis wrote. UTC, so that a time looks the same in every process's log.
func instant(ms *int64) time.Time {
	if ms == nil {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}

// optional returns nil for a zero value: such an attribute is not stored.
func optional[T comparable](v T) *T {
	if v == *new(T) {
		return nil
	}
	return &v
}

// value reads what optional wrote.
func value[T any](p *T) (v T) {
	if p != nil {
		v = *p
	}
	return v
}
