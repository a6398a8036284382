package local

import (
	"context"
	"errors"
	"fmt"
)

// schemaVersion is SQLite's user_version of a prepared folder. It grows when schema changes, and Prepare then
// brings older folders up.
const schemaVersion = 1

// schema: an item is one JSON document under the attribute names of the table on AWS, so that attributes of
// newer releases survive older ones. The other columns are computed from it and cannot disagree.
// In messages, times are in ms; a message is in flight while visible lies in the future, and its receipt is
// valid exactly as long. dead is the number of the queue, 0 or 1, so that one index serves both. AUTOINCREMENT:
// a message id is never used again, and two lines of a log with one id speak of one message.
const schema = `
CREATE TABLE images (
	item     TEXT NOT NULL CHECK (json_valid(item)),
	id       TEXT NOT NULL UNIQUE AS (item ->> '$.id'),
	version  INTEGER NOT NULL     AS (item ->> '$.version'),
	state    TEXT NOT NULL        AS (item ->> '$.state'),
	rawS3Key TEXT                 AS (item ->> '$.rawS3Key'),
	pending  TEXT                 AS (item ->> '$.pending'),
	updated  INTEGER              AS (item ->> '$.updated'),
	expires  INTEGER              AS (item ->> '$.expires')
) STRICT;
CREATE INDEX images_pending ON images (pending, updated, id) WHERE pending IS NOT NULL;
CREATE INDEX images_expires ON images (expires) WHERE expires IS NOT NULL;

CREATE TABLE messages (
	id       INTEGER PRIMARY KEY AUTOINCREMENT,
	dead     INTEGER NOT NULL DEFAULT 0,
	visible  INTEGER NOT NULL,
	sent     INTEGER NOT NULL,
	receives INTEGER NOT NULL DEFAULT 0,
	receipt  TEXT NOT NULL DEFAULT '',
	trace    TEXT NOT NULL,
	body     BLOB NOT NULL
) STRICT;
CREATE INDEX messages_visible ON messages (dead, visible);

CREATE TABLE leases (
	name   TEXT PRIMARY KEY,
	holder TEXT NOT NULL,
	until  INTEGER NOT NULL
) STRICT;
`

// makeSchema creates the database of dir, or checks that it is there and can be written. The schema and its
// version are one transaction: a process that dies here leaves an empty database to the next one.
func makeSchema(dir string) (err error) {
	db, err := openDatabase(dir, "rwc", 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	// WAL stays with the file, so later connections need not ask for it, nor take the lock that it needs.
	var mode string
	if err := db.QueryRow("PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("this file system allows no write-ahead log (journal mode %s)", mode)
	}
	tx, err := db.BeginTx(context.Background(), nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	var version int
	if err := tx.QueryRow("PRAGMA user_version").Scan(&version); err != nil {
		return err
	}
	if version != 0 && version != schemaVersion {
		return fmt.Errorf("schema %d was made by another release, this one reads %d", version, schemaVersion)
	}
	if version == 0 {
		if _, err := tx.Exec(fmt.Sprintf("%s PRAGMA user_version = %d", schema, schemaVersion)); err != nil {
			return err
		}
	}
	return tx.Commit()
}
