package local

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
)

// schemaVersion is SQLite's user_version of a prepared folder. It is increased only for a schema that the previous
// release cannot use; Prepare then migrates older folders.
const schemaVersion = 1

// schema creates the tables. An item is one JSON document with the attribute names of the DynamoDB table, so that an
// older release keeps the attributes of a newer one. The other columns are computed from it and cannot disagree.
//
// In messages, times are in milliseconds. A message is in flight, and its receipt is valid, while visible is in the
// future. dead is the number of the queue, 0 or 1, so that one index serves both queues. AUTOINCREMENT prevents reuse
// of a message id, so that an id in a log always means the same message.
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

// makeSchema creates the tables of dir, or checks that they exist, and sets the application id. It uses one
// transaction, so a process that dies here leaves the database unchanged. It takes no write lock unless there is
// something to write, so that a process can join others that write without pause.
func makeSchema(dir string, root *os.Root) (err error) {
	db, err := openDatabase(dir, "rwc", 1)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()

	ctx := context.Background()
	err = checkSchema(ctx, db)
	if err == nil {
		if done, err := complete(ctx, db); err != nil || done {
			return err
		}
	} else if err != errEmpty { // another program's database must not be changed
		return err
	}
	// WAL mode is stored in the file, so later connections need neither set it nor take the lock for that.
	var mode string
	if err := db.QueryRow("PRAGMA journal_mode = WAL").Scan(&mode); err != nil {
		return err
	}
	if mode != "wal" {
		return fmt.Errorf("this file system allows no write-ahead log (journal mode %s)", mode)
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	err = checkSchema(ctx, tx)
	if err == errEmpty {
		if err := createTables(tx, root); err != nil {
			return err
		}
		err = checkSchema(ctx, tx)
	}
	if err != nil {
		return err
	}
	if _, err := tx.Exec(fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
		return err
	}
	return tx.Commit()
}

// complete reports whether a database with our tables needs no change. The previous release did not set the id.
func complete(ctx context.Context, db *sql.DB) (bool, error) {
	var mode string
	var id int
	err := errors.Join(db.QueryRowContext(ctx, "PRAGMA journal_mode").Scan(&mode),
		db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id))
	return mode == "wal" && id == applicationID, err
}

// createTables creates the tables, unless there are objects: these belong to another database.
func createTables(tx *sql.Tx, root *os.Root) error {
	object, err := firstFile(root, objectsName)
	if err != nil {
		return cause(err)
	}
	if object != "" {
		return fmt.Errorf("the database is empty, but there is %s: restore the database of this folder", object)
	}
	_, err = tx.Exec(fmt.Sprintf("%s PRAGMA user_version = %d", schema, schemaVersion))
	return err
}

// applicationID marks our database in SQLite's file header: "IMGR".
const applicationID = 0x494d4752

var (
	// errNotOurs is returned for a database that another program made.
	errNotOurs = errors.New("it is the database of another program")
	// errEmpty is returned for a database without tables.
	errEmpty = errors.New("it has no tables")
)

// checkSchema returns nil if the database has our tables in a version that this release reads. The previous release set
// no application id. db is a database, a connection or a transaction.
func checkSchema(ctx context.Context, db interface {
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}) error {
	var id, version, all, ours int
	err := errors.Join( // the tables first: they appear together with the rest
		db.QueryRowContext(ctx, `
			SELECT count(*), count(*) FILTER (WHERE type = 'table' AND name IN ('images', 'messages', 'leases'))
			FROM sqlite_schema`).Scan(&all, &ours),
		db.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id),
		db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version))
	switch {
	case err != nil:
		return err
	case all == 0:
		return errEmpty
	case id != applicationID && (id != 0 || ours != 3):
		return errNotOurs
	case version != schemaVersion:
		return fmt.Errorf("schema %d was made by another release, this one reads %d", version, schemaVersion)
	}
	return nil
}
