package fakeaws

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Queues emulates standard queues of SQS: visibility timeouts, receipts, receive counts, dead-letter queues, long
// polls, delays. Messages are ordered by the time at which they become visible, which callers must not rely on. They
// are lost or duplicated only by a fault of the proxy.
type Queues struct {
	endpoint string

	mu     sync.Mutex
	queues map[string]*msgQueue // by name
	next   int                  // number of the next message or receipt
	change chan struct{}        // closed, and replaced, when a message may have become visible
}

type msgQueue struct {
	name        string
	attributes  map[string]string
	visibility  time.Duration
	maxReceives int
	deadLetters string // name
	messages    []*message
}

type message struct {
	id, body   string
	attributes map[string]attribute
	system     map[string]attribute
	sent       time.Time
	visible    time.Time // not before
	receives   int
	receipt    string // of the last receive; "" before the first
}

type attribute struct{ DataType, StringValue string }

// account is the id of the only account.
const account = "000000000000"

func newQueues() *Queues {
	return &Queues{queues: map[string]*msgQueue{}, change: make(chan struct{})}
}

// Message is a stored message, as a test sees it without the API.
type Message struct {
	ID, Body string
	InFlight bool
	Receives int
}

// Messages returns the messages of a queue, in flight or not.
func (q *Queues) Messages(queueURL string) []Message {
	q.mu.Lock()
	defer q.mu.Unlock()
	var list []Message
	if mq, err := q.find(queueURL); err == nil {
		for _, m := range mq.messages {
			list = append(list, Message{m.id, m.body, m.inFlight(time.Now()), m.receives})
		}
	}
	return list
}

func (m *message) inFlight(now time.Time) bool { return m.receipt != "" && now.Before(m.visible) }

var errNoSuchQueue = errors.New("the specified queue does not exist")

// find returns a queue. It is called with the lock held, as are all functions below.
func (q *Queues) find(queueURL string) (*msgQueue, error) {
	mq, ok := q.queues[queueURL[strings.LastIndexByte(queueURL, '/')+1:]]
	if !ok {
		return nil, errNoSuchQueue
	}
	return mq, nil
}

func (q *Queues) number() string {
	q.next++
	return fmt.Sprintf("%08d", q.next)
}

// changed wakes the long polls.
func (q *Queues) changed() {
	close(q.change)
	q.change = make(chan struct{})
}

func (q *Queues) send(mq *msgQueue, m message, delay time.Duration) (id string) {
	m.id, m.sent = "message-"+q.number(), time.Now()
	m.visible = m.sent.Add(delay)
	mq.messages = append(mq.messages, &m)
	q.changed()
	return m.id
}

// receive takes up to n visible messages, or returns the time until the next one becomes visible.
func (q *Queues) receive(mq *msgQueue, n int, visibility time.Duration) (got []*message, next time.Duration) {
	now := time.Now()
	next = time.Hour
	for _, m := range slices.Clone(mq.messages) {
		if wait := m.visible.Sub(now); wait > 0 {
			next = min(next, wait)
			continue
		}
		if mq.maxReceives > 0 && m.receives >= mq.maxReceives {
			q.moveToDeadLetters(mq, m, now)
			continue
		}
		if len(got) == n {
			return got, 0
		}
		m.receives++
		m.receipt = "receipt-" + q.number()
		m.visible = now.Add(visibility)
		got = append(got, m)
	}
	return got, next
}

// moveToDeadLetters moves a message to the dead letters. It keeps its id, its count and the time it was sent, which is
// why SQS wants the dead letters to be kept for longer than the messages.
func (q *Queues) moveToDeadLetters(mq *msgQueue, m *message, now time.Time) {
	mq.remove(m)
	if dead, ok := q.queues[mq.deadLetters]; ok {
		m.visible, m.receipt = now, ""
		dead.messages = append(dead.messages, m)
		q.changed()
	}
}

func (mq *msgQueue) remove(m *message) {
	mq.messages = slices.DeleteFunc(mq.messages, func(other *message) bool { return other == m })
}

// extend hides a message for d from now. The codes are those of SQS: for a message that is gone or was received again,
// and for one whose visibility timeout has ended.
func (q *Queues) extend(mq *msgQueue, receipt string, d time.Duration) (code string) {
	now := time.Now()
	i := slices.IndexFunc(mq.messages, func(m *message) bool { return m.receipt == receipt })
	if i < 0 {
		return "InvalidParameterValue"
	}
	m := mq.messages[i]
	if !m.inFlight(now) {
		return "MessageNotInflight"
	}
	m.visible = now.Add(d)
	q.changed() // also when it is hidden for longer: the polls ask again when the next one is due
	return ""
}

// delete removes the message if this is its last receipt, in flight or not. An older receipt deletes nothing and is no
// error, as with SQS.
func (q *Queues) delete(mq *msgQueue, receipt string, _ time.Duration) (code string) {
	mq.messages = slices.DeleteFunc(mq.messages, func(m *message) bool { return m.receipt == receipt })
	return ""
}

// describe returns the answer of GetQueueAttributes. The counts are exact, while those of SQS are late.
func (mq *msgQueue) describe() map[string]string {
	now, visible, hidden, delayed := time.Now(), 0, 0, 0
	for _, m := range mq.messages {
		switch {
		case m.inFlight(now):
			hidden++
		case now.Before(m.visible):
			delayed++
		default:
			visible++
		}
	}
	all := map[string]string{
		"QueueArn":                              "arn:aws:sqs:" + Region + ":" + account + ":" + mq.name,
		"VisibilityTimeout":                     strconv.Itoa(int(mq.visibility.Seconds())),
		"ApproximateNumberOfMessages":           strconv.Itoa(visible),
		"ApproximateNumberOfMessagesNotVisible": strconv.Itoa(hidden),
		"ApproximateNumberOfMessagesDelayed":    strconv.Itoa(delayed),
	}
	maps.Copy(all, mq.attributes)
	return all
}

func md5Hex(s string) string {
	sum := md5.Sum([]byte(s))
	return hex.EncodeToString(sum[:])
}
