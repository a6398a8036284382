package rollout

import (
	"context"
	"crypto/rand"
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

// The lock outlives three renewals that fail, and a controller that died blocks the next one no longer than this.
const (
	lockFor    = 2 * time.Minute
	renewEvery = 30 * time.Second
	renewSlack = 5 * time.Second // for the call itself
)

// errLockLost ends a run whose lock expired, because it was slow or had no network, and was taken by another run.
var errLockLost = errors.New("somebody else took the rollout lock over")

// HeldError is returned when another run holds the rollout lock.
type HeldError struct{ Lock record.Lock }

func (e *HeldError) Error() string {
	return fmt.Sprintf("%s holds the rollout lock since %s for %s; if that one is dead, the lock ends at %s",
		e.Lock.Holder, e.Lock.Since.Format(time.RFC3339), e.Lock.Why, e.Lock.Until.Format(time.RFC3339))
}

// journal reads and writes the release record: one item, each write conditional on the version that was read, so that
// two who write at the same time both find their change in it. It may be used from several goroutines, and by somebody
// without the lock, who then changes nothing but a request.
type journal struct {
	clients Clients
	table   string
	id      string // of the lock

	mu       sync.Mutex
	version  int64 // of the item as it was last seen; 0: there is none
	document string
	record   record.Record
}

func newJournal(clients Clients, table string) *journal {
	return &journal{clients: clients, table: table, id: rand.Text()}
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

// now is what the record says, as of the last read or write.
func (j *journal) now() record.Record {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.record
}

// edit changes the record by one conditional write. When somebody else wrote meanwhile it reads again and repeats
// the change, which may give up by an error.
func (j *journal) edit(ctx context.Context, change func(*record.Record) error) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	for range 20 { // others write twice a minute
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
		// Also if an answer was lost and the SDK repeated a write that had been made: every change may be made twice.
		if err := j.fetch(ctx); err != nil {
			return err
		}
	}
	return errors.New("write the release record: others write it all the time")
}

func (j *journal) put(ctx context.Context, document string) error {
	in := &dynamodb.PutItemInput{TableName: &j.table, Item: map[string]types.AttributeValue{
		record.AttributeID:       &types.AttributeValueMemberS{Value: record.ID},
		record.AttributeVersion:  &types.AttributeValueMemberN{Value: strconv.FormatInt(j.version+1, 10)},
		record.AttributeDocument: &types.AttributeValueMemberS{Value: document},
	}, ConditionExpression: aws.String("attribute_not_exists(#id)"), ExpressionAttributeNames: map[string]string{"#id": record.AttributeID}}
	if j.version > 0 {
		in.ConditionExpression, in.ExpressionAttributeNames = aws.String("#version = :version"), map[string]string{"#version": record.AttributeVersion}
		in.ExpressionAttributeValues = map[string]types.AttributeValue{":version": &types.AttributeValueMemberN{Value: strconv.FormatInt(j.version, 10)}}
	}
	_, err := j.clients.Table.PutItem(ctx, in)
	return err
}

// lock takes the lock or returns a *HeldError. One that seems to be over is watched for longer than a renewal takes: the
// clock of its holder may differ from this one.
func (j *journal) lock(ctx context.Context, by, why string) error {
	if err := j.read(ctx); err != nil {
		return err
	}
	var over record.Lock
	if l := j.now().Lock; l != nil && !l.Live(time.Now()) {
		over = *l
		if err := sleep(ctx, renewEvery+renewSlack); err != nil {
			return err
		}
		if err := j.read(ctx); err != nil {
			return err
		}
	}
	return j.edit(ctx, func(r *record.Record) error {
		now := time.Now().UTC()
		l := r.Lock
		renewed := l != nil && (l.ID != over.ID || !l.Until.Equal(over.Until))
		if l != nil && l.ID != j.id && (l.Live(now) || renewed) {
			return &HeldError{*l}
		}
		r.Lock = &record.Lock{ID: j.id, Holder: by, Why: why, Since: now, Until: now.Add(lockFor)}
		return nil
	})
}

// mine makes a change only while the lock is ours, and renews it.
func (j *journal) mine(ctx context.Context, change func(*record.Record)) error {
	return j.edit(ctx, func(r *record.Record) error {
		if r.Lock == nil || r.Lock.ID != j.id {
			return errLockLost
		}
		r.Lock.Until = time.Now().UTC().Add(lockFor)
		change(r)
		return nil
	})
}

// renew keeps the lock until ctx ends, or ends ctx when the lock is lost: from then on somebody else may be at work.
func (j *journal) renew(ctx context.Context, lost context.CancelCauseFunc) {
	for sleep(ctx, renewEvery) == nil {
		// A table that is away for a moment costs one renewal, not the rollout.
		err := j.mine(ctx, func(*record.Record) {})
		if errors.Is(err, errLockLost) || err != nil && ctx.Err() == nil && !j.now().Lock.Live(time.Now()) {
			lost(fmt.Errorf("renew the rollout lock: %w", err))
		}
	}
}

// unlock gives the lock back. If that fails it ends by itself.
func (j *journal) unlock(ctx context.Context) error {
	return j.edit(ctx, func(r *record.Record) error {
		if r.Lock == nil || r.Lock.ID != j.id {
			return errLockLost
		}
		r.Lock = nil
		return nil
	})
}

// locked does something under the lock, which it renews meanwhile and gives back at the end, whatever the end is.
func (r *run) locked(ctx context.Context, why string, do func(context.Context) error) error {
	r.journal = newJournal(r.Clients, r.Table)
	if err := r.journal.lock(ctx, r.By, why); err != nil {
		return err
	}
	held, cancel := context.WithCancelCause(ctx)
	var renewing sync.WaitGroup
	renewing.Go(func() { r.journal.renew(held, cancel) })
	err := do(held)
	cancel(nil)
	renewing.Wait()
	// Also after an interruption, so that the next run need not wait.
	over, done := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer done()
	if e := r.journal.unlock(over); e != nil && !errors.Is(e, errLockLost) {
		r.say("the rollout lock is not given back and ends in %s: %v", lockFor, e)
	}
	return err
}
