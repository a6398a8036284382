package fsck

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	_ "modernc.org/sqlite" // the driver

	"imagery/app/deploy/iam"
)

// Ids of items that are not images.
const (
	leasePrefix   = "lease-"
	releaseRecord = "rollout" // see package record
)

// AWS reads a whole table and bucket. It needs the permissions dynamodb:Scan, s3:ListBucket and, with hashes,
// s3:GetObject for all objects, which operators have and roles do not. Queues cannot be listed, so the snapshot has no
// messages. It ignores data of selftests, leases and the record of releases.
func AWS(
	ctx context.Context, tables *dynamodb.Client, objects *s3.Client, table, bucket string, hashes bool,
) (Snapshot, error) {
	s := Snapshot{Objects: map[string]string{}, Stored: map[string]time.Time{}, NoMessages: true}
	// Items first: an object is put before an item refers to it, so it is listed later.
	if err := s.scan(ctx, tables, table); err != nil {
		return s, err
	}
	// A paginator of the SDK would link all operations of the service into the binary.
	in := &s3.ListObjectsV2Input{Bucket: &bucket}
	for more := true; more; more = in.ContinuationToken != nil {
		page, err := objects.ListObjectsV2(ctx, in)
		if err != nil {
			return s, fmt.Errorf("list bucket %s: %w", bucket, err)
		}
		in.ContinuationToken = page.NextContinuationToken
		for _, o := range page.Contents {
			if strings.HasPrefix(*o.Key, "selftest/") {
				continue
			}
			if o.LastModified != nil {
				s.Stored[*o.Key] = *o.LastModified
			}
			if s.Objects[*o.Key] = ""; hashes {
				if s.Objects[*o.Key], err = hashObject(ctx, objects, bucket, *o.Key); err != nil {
					return s, err
				}
			}
		}
	}
	return s, nil
}

// scan reads the items of a table into the snapshot.
func (s *Snapshot) scan(ctx context.Context, tables *dynamodb.Client, table string) error {
	in := &dynamodb.ScanInput{TableName: &table, ConsistentRead: new(true)}
	for more := true; more; more = len(in.ExclusiveStartKey) > 0 {
		page, err := tables.Scan(ctx, in)
		if err != nil {
			return fmt.Errorf("scan table %s: %w", table, err)
		}
		in.ExclusiveStartKey = page.LastEvaluatedKey
		for _, attributes := range page.Items {
			var i Item
			data, err := json.Marshal(toJSON(&types.AttributeValueMemberM{Value: attributes}))
			if err = errors.Join(err, json.Unmarshal(data, &i)); err != nil {
				return fmt.Errorf("decode item %s: %w", data, err)
			}
			selftest := strings.HasPrefix(i.ID, iam.SelftestIDPrefix)
			if !selftest && !strings.HasPrefix(i.ID, leasePrefix) && i.ID != releaseRecord {
				s.Items = append(s.Items, i)
			}
		}
	}
	return nil
}

func hashObject(ctx context.Context, objects *s3.Client, bucket, key string) (string, error) {
	var data []byte
	out, err := objects.GetObject(ctx, &s3.GetObjectInput{Bucket: &bucket, Key: &key})
	if err == nil {
		defer out.Body.Close()
		data, err = io.ReadAll(out.Body)
	}
	if err != nil {
		return "", fmt.Errorf("read %s: %w", key, err)
	}
	return HashOf(data), nil
}

// toJSON converts an attribute into a value for json.Marshal.
func toJSON(v types.AttributeValue) any {
	switch v := v.(type) {
	case *types.AttributeValueMemberS:
		return v.Value
	case *types.AttributeValueMemberN:
		return json.Number(v.Value)
	case *types.AttributeValueMemberL:
		list := []any{}
		for _, e := range v.Value {
			list = append(list, toJSON(e))
		}
		return list
	case *types.AttributeValueMemberM:
		m := map[string]any{}
		for k, e := range v.Value {
			m[k] = toJSON(e)
		}
		return m
	default:
		return nil // of an attribute that Item does not have
	}
}

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
