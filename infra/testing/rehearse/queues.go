package main

import (
	"encoding/json"
	"path"
	"sync"
	"time"
)

// ages remembers when the messages of queues were sent, which moto does not tell. It learns from calls and answers that
// the front passes on.
type ages struct {
	mu       sync.Mutex
	messages map[string]*queued // by id
	receipts map[string]string  // ids, by receipt handle
}

// queued is a message that is not deleted.
type queued struct {
	queue    string
	sent     time.Time
	receives int
}

func newAges() *ages { return &ages{messages: map[string]*queued{}, receipts: map[string]string{}} }

// answered notes a call of SQS that has succeeded.
func (a *ages) answered(operation string, body, answer []byte, now time.Time) {
	type message struct{ ID, MessageID, ReceiptHandle string } // encoding/json does not regard case
	var in struct {
		QueueURL, ReceiptHandle string
		Entries                 []message
	}
	var out struct {
		MessageID            string
		Successful, Messages []message
	}
	if json.Unmarshal(body, &in) != nil || json.Unmarshal(answer, &out) != nil && len(answer) > 0 {
		return
	}
	queue := path.Base(in.QueueURL)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch operation {
	case "SendMessage":
		a.messages[out.MessageID] = &queued{queue, now, 0}
	case "SendMessageBatch":
		for _, m := range out.Successful {
			a.messages[m.MessageID] = &queued{queue, now, 0}
		}
	case "ReceiveMessage":
		for _, m := range out.Messages {
			a.receipts[m.ReceiptHandle] = m.MessageID
			if known := a.messages[m.MessageID]; known != nil && known.queue == queue {
				known.receives++
			} else { // it was moved, as to the dead-letter queue
				a.messages[m.MessageID] = &queued{queue, now, 1}
			}
		}
	case "DeleteMessage":
		a.delete(in.ReceiptHandle)
	case "DeleteMessageBatch":
		done := map[string]bool{}
		for _, m := range out.Successful {
			done[m.ID] = true
		}
		for _, e := range in.Entries {
			if done[e.ID] {
				a.delete(e.ReceiptHandle)
			}
		}
	case "PurgeQueue", "DeleteQueue":
		a.clear(queue)
	}
}

func (a *ages) delete(receipt string) {
	delete(a.messages, a.receipts[receipt])
	delete(a.receipts, receipt)
}

func (a *ages) clear(queue string) {
	for id, m := range a.messages {
		if m.queue == queue {
			delete(a.messages, id)
		}
	}
}

// oldest returns the age of the oldest message of a queue that has n messages. "When a message is received three times
// (or more) and not processed, the message is moved to the back of the queue and the ApproximateAgeOfOldestMessage
// metric points at the second-oldest message that hasn't been received more than three times."
func (a *ages) oldest(queue string, n int, now time.Time) (age time.Duration) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if n == 0 { // moto has expired or moved those that were not deleted
		a.clear(queue)
	}
	for _, m := range a.messages {
		if m.queue == queue && m.receives < 3 {
			age = max(age, now.Sub(m.sent))
		}
	}
	return age
}
