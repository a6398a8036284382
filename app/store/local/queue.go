package local

import (
	"context"
	"database/sql"
	"slices"
	"time"

	"imagery/app/imagery"
)

// queue implements imagery.Queue on the rows of messages that are dead letters, or on those that are not. One column
// decides, so a message is in exactly one of the two even after a crash.
//
// Times are those of the wall clock, which all processes of the machine share. If it is set back, messages are
// delivered later; if it is set forward, some are delivered twice.
type queue struct {
	s     *Store
	dead  bool
	order string // SQL order in which visible messages are received
}

// oldestFirst is the order of the index.
const oldestFirst = "visible, id"

// Send implements imagery.Queue. It notifies the receivers after the commit.
func (q queue) Send(ctx context.Context, body []byte, trace string) error {
	return q.send(ctx, body, trace, 0)
}

// send queues a message that becomes visible after the delay.
func (q queue) send(ctx context.Context, body []byte, trace string, delay time.Duration) error {
	now := time.Now()
	_, err := q.s.exec(ctx, "INSERT INTO messages (dead, visible, sent, trace, body) VALUES (?, ?, ?, ?, ?)",
		q.dead, now.Add(delay).UnixMilli(), now.UnixMilli(), trace, body)
	if err == nil {
		q.s.notifier.notify()
	}
	return err
}

// Receive implements imagery.Queue. Between two attempts it sleeps until a notification, until the next message in
// flight becomes visible, or for the poll interval, whichever comes first: notifications may be lost.
func (q queue) Receive(ctx context.Context, max int, wait time.Duration) ([]imagery.Message, error) {
	deadline := time.Now().Add(wait)
	for ctx.Err() == nil {
		notified := q.s.notifier.wait() // before reading, so that no notification is missed
		list, pause, err := q.tryReceive(ctx, max)
		if ctx.Err() != nil && len(list) == 0 {
			break
		}
		left := time.Until(deadline)
		if err != nil || len(list) > 0 || left <= 0 {
			return list, err
		}
		timer := time.NewTimer(min(pause, left))
		select {
		case <-notified:
		case <-timer.C:
		case <-ctx.Done():
		}
		timer.Stop()
	}
	return nil, nil
}

// tryReceive receives what is visible now, or returns how long to sleep before the next attempt. It takes the write
// lock only if a message is visible.
func (q queue) tryReceive(ctx context.Context, max int) (list []imagery.Message, pause time.Duration, err error) {
	var first sql.NullInt64 // NULL when there is no message
	if err := q.s.row(ctx, []any{&first}, "SELECT min(visible) FROM messages WHERE dead = ?", q.dead); err != nil {
		return nil, 0, err
	}
	if !first.Valid {
		return nil, q.s.poll, nil
	}
	if pause = time.Until(time.UnixMilli(first.Int64)); pause > 0 {
		return nil, min(pause, q.s.poll), nil
	}
	// The list is empty if another process receives the message before this one has the lock.
	err = q.s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		for died := true; died && len(list) < max; {
			if died, err = q.claim(ctx, tx, max-len(list), &list); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return list, 0, nil
}

// claim gives up to n visible messages a new receipt, in the queue's order, and appends them to list. Messages that
// have used up their deliveries become dead letters instead, as if sent to that queue now; died reports that there were
// some, so that further messages may be visible.
func (q queue) claim(ctx context.Context, tx *sql.Tx, n int, list *[]imagery.Message) (died bool, err error) {
	now := time.Now()
	rows, err := tx.QueryContext(ctx, `
		UPDATE messages SET
			dead     = dead OR receives >= :max,
			receives = CASE WHEN NOT dead AND receives >= :max THEN 0 ELSE receives + 1 END,
			visible  = CASE WHEN NOT dead AND receives >= :max THEN :now ELSE :until END,
			receipt  = CASE WHEN NOT dead AND receives >= :max THEN '' ELSE lower(hex(randomblob(16))) END
		WHERE id IN (SELECT id FROM messages WHERE dead = :dead AND visible <= :now ORDER BY `+q.order+` LIMIT :n)
		RETURNING id, receipt, body, receives, sent, trace`,
		sql.Named("max", q.s.opts.MaxReceives), sql.Named("now", now.UnixMilli()), sql.Named("dead", q.dead),
		sql.Named("until", now.Add(q.s.opts.Visibility).UnixMilli()), sql.Named("n", n))
	if err != nil {
		return false, err
	}
	defer rows.Close()
	for rows.Next() {
		var m imagery.Message
		var sent int64
		if err := rows.Scan(&m.ID, &m.Receipt, &m.Body, &m.Receives, &sent, &m.Trace); err != nil {
			return false, err
		}
		if m.Receipt == "" { // it became a dead letter and was not delivered
			died = true
			continue
		}
		m.Sent = time.UnixMilli(sent).UTC()
		*list = append(*list, m)
	}
	return died, rows.Err()
}

// Extend implements imagery.Queue in one transaction. On an error no message was extended.
func (q queue) Extend(ctx context.Context, d time.Duration, ms ...imagery.Message) (lost []imagery.Message, err error) {
	lost, err = q.forEach(ctx, ms, "UPDATE messages SET visible = ?", time.Now().Add(d).UnixMilli())
	if err == nil && d <= 0 && len(lost) < len(ms) { // visible now, earlier than sleeping receivers expect
		q.s.notifier.notify()
	}
	return lost, err
}

// Delete implements imagery.Queue. It is stricter than SQS: a receipt is invalid after its visibility timeout, not only
// after the next delivery.
func (q queue) Delete(ctx context.Context, ms ...imagery.Message) error {
	_, err := q.forEach(ctx, ms, "DELETE FROM messages")
	return err
}

// forEach executes an SQL statement with its arguments for each message whose receipt is valid, and returns the others.
func (q queue) forEach(ctx context.Context, ms []imagery.Message, statement string, args ...any) (
	lost []imagery.Message, err error) {
	if len(ms) == 0 {
		return nil, nil
	}
	err = q.s.write(ctx, func(ctx context.Context, tx *sql.Tx) error {
		now := time.Now().UnixMilli()
		for _, m := range ms {
			r, err := tx.ExecContext(ctx, statement+" WHERE id = ? AND dead = ? AND receipt = ? AND visible > ?",
				slices.Concat(args, []any{m.ID, q.dead, m.Receipt, now})...)
			if err != nil {
				return err
			}
			if n, err := r.RowsAffected(); err != nil {
				return err
			} else if n == 0 {
				lost = append(lost, m)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return lost, nil
}

// Limits implements imagery.Queue. It returns the options of this process; all processes of a fleet have the same.
func (q queue) Limits(context.Context) (imagery.Limits, error) {
	l := imagery.Limits{Visibility: q.s.opts.Visibility, MaxReceives: q.s.opts.MaxReceives}
	if q.dead {
		l.MaxReceives = 0
	}
	return l, nil
}

// Depth returns the numbers of visible and in-flight messages and of dead letters, all at the same instant.
func (s *Store) Depth(ctx context.Context) (visible, inFlight, dead int, err error) {
	err = s.row(ctx, []any{&visible, &inFlight, &dead}, `
		SELECT count(*) FILTER (WHERE NOT dead AND visible <= ?1), count(*) FILTER (WHERE NOT dead AND visible > ?1),
			count(*) FILTER (WHERE dead) FROM messages`, time.Now().UnixMilli())
	return visible, inFlight, dead, err
}
