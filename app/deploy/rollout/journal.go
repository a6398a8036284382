package rollout

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/deploy/record"
)

const (
	// lockDuration survives three failed renewals. After a crash the next run waits no longer than this.
	lockDuration  = 2 * time.Minute
	renewInterval = 30 * time.Second
	renewSlack    = 5 * time.Second // for the call itself
)

// errLockLost ends a run whose lock expired, because it was slow or had no network, and was taken by another run.
var errLockLost = errors.New("another run took the rollout lock")

// HeldError is returned when another run holds the rollout lock.
type HeldError struct{ Lock record.Lock }

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s holds the rollout lock since %s for %s; if that run was killed, the lock expires at %s",
		e.Lock.Holder, e.Lock.Since.Format(time.RFC3339), e.Lock.Why, e.Lock.Until.Format(time.RFC3339))
}

// journal reads and writes the release record, which holds the rollout lock: one item, each write conditional on the
// version that was read, so that concurrent writers lose no change. It may be used from several goroutines. A run
// without the lock may only request an abort.
type journal struct {
	clients Clients
	table   string
	id      string // of the lock

	mu       sync.Mutex
	version  int64 // of the item at the last read or write; 0: there is none
	document string
	record   record.Record
}

// read fetches the record.
func (j *journal) read(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.fetch(ctx)
}

func (j *journal) fetch(ctx context.Context) error {
	out, err := j.clients.Table.GetItem(ctx, &dynamodb.GetItemInput{TableName: &j.table, ConsistentRead: aws.Bool(true),
		Key: map[string]types.AttributeValue{record.AttributeID: &types.AttributeValueMemberS{Value: record.ID}}})
	if err != nil {
		return fmt.Errorf("read the release record: %w", err)
	}
	j.version, j.document = 0, ""
	if v, ok := out.Item[record.AttributeVersion].(*types.AttributeValueMemberN); ok {
		if j.version, err = strconv.ParseInt(v.Value, 10, 64); err != nil {
			return fmt.Errorf("read the release record: version %q", v.Value)
		}
	}
	if d, ok := out.Item[record.AttributeDocument].(*types.AttributeValueMemberS); ok {
		j.document = d.Value
	}
	j.record, err = record.Parse(j.document)
	return err
}

// latest returns the record as of the last read or write.
func (j *journal) latest() record.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.record
}

// edit applies change to the record by a conditional write, and repeats both if another process has written since the
// last read. An error of change is returned.
func (j *journal) edit(ctx context.Context, change func(*record.Record) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for range 20 { // other runs write twice a minute
		next, err := record.Parse(j.document) // a copy of its own
		if err != nil {
			return err
		}
		if err := change(&next); err != nil {
			return err
		}
		document, err := next.Document()
		if err != nil {
			return err
		}
		if err = j.put(ctx, document); err == nil {
			j.version, j.document, j.record = j.version+1, document, next
			return nil
		} else if !is(err, "ConditionalCheckFailedException") {
			return fmt.Errorf("write the release record: %w", err)
		}
		// Also if an answer was lost and the SDK repeated the write: every change may be applied twice.
		if err := j.fetch(ctx); err != nil {
			return err
		}
	}
	return errors.New("write the release record: 20 conflicts with other writers")
}

func (j *journal) put(ctx context.Context, document string) error {
	number := func(n int64) types.AttributeValue {
		return &types.AttributeValueMemberN{Value: strconv.FormatInt(n, 10)}
	}
	in := &dynamodb.PutItemInput{TableName: &j.table,
		Item: map[string]types.AttributeValue{
			record.AttributeID:       &types.AttributeValueMemberS{Value: record.ID},
			record.AttributeVersion:  number(j.version + 1),
			record.AttributeDocument: &types.AttributeValueMemberS{Value: document},
		},
		ConditionExpression:      aws.String("attribute_not_exists(#version)"),
		ExpressionAttributeNames: map[string]string{"#version": record.AttributeVersion},
	}
	if j.version > 0 {
		in.ConditionExpression = aws.String("#version = :version")
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":version": number(j.version)}
	}
	_, err := j.clients.Table.PutItem(ctx, in)
	return err
}

// lock takes the lock or returns a *HeldError. If a lock seems to have expired, lock waits for longer than a renewal
// takes: the clock of its holder may differ from this one.
func (j *journal) lock(ctx context.Context, by, why string) error {
	if err := j.read(ctx); err != nil {
		return err
	}
	var expired record.Lock
	if l := j.latest().Lock; l != nil && !l.Live(time.Now()) {
		expired = *l
		if err := sleep(ctx, renewInterval+renewSlack); err != nil {
			return err
		}
		if err := j.read(ctx); err != nil {
			return err
		}
	}
	return j.edit(ctx, func(r *record.Record) error {
		if l := r.Lock; l != nil && l.ID != j.id && (l.ID != expired.ID || !l.Until.Equal(expired.Until)) {
			return &HeldError{*l}
		}
		now := time.Now().UTC()
		r.Lock = &record.Lock{ID: j.id, Holder: by, Why: why, Since: now, Until: now.Add(lockDuration)}
		return nil
	})
}

// editLocked is edit for a run that has the lock, which it also renews. It returns errLockLost if another run has it.
func (j *journal) editLocked(ctx context.Context, change func(*record.Record)) error {
	return j.edit(ctx, func(r *record.Record) error {
		if r.Lock == nil || r.Lock.ID != j.id {
			return errLockLost
		}
		r.Lock.Until = time.Now().UTC().Add(lockDuration)
		change(r)
		return nil
	})
}

// confirmLock renews the lock, or returns an error if another run has it.
func (j *journal) confirmLock(ctx context.Context) error {
	return wrap(j.editLocked(ctx, func(*record.Record) {}), "keep the rollout lock")
}

// renew renews the lock until ctx ends. It calls lost when the lock has expired: another run may then take it.
func (j *journal) renew(ctx context.Context, lost context.CancelCauseFunc) {
	for sleep(ctx, renewInterval) == nil {
		// A short outage of the table costs one renewal, not the rollout.
		err := j.confirmLock(ctx)
		if errors.Is(err, errLockLost) || err != nil && ctx.Err() == nil && !j.latest().Lock.Live(time.Now()) {
			lost(err)
		}
	}
}
