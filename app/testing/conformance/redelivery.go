package conformance

import (
	"fmt"
	"testing"
	"time"

	"imagery/app/imagery"
)

func redeliveryCases() []testCase {
	return []testCase{
		onQueue("Queue.Receive: again after the visibility timeout, counted, with a new receipt",
			1, plenty, timeoutRedelivers),
		onQueue("Queue.Extend: keeps a message away for longer", 2, plenty, extendKeepsAway),
		onQueue("Queue.Extend: counts from now, also to shorten", long, plenty, extendShortens),
		onQueue("Queue.Extend: 0 hands back at once", long, plenty, zeroReturns),
		onQueue("Queue.Extend, Delete: a late receipt changes nothing (handed back)", long, plenty, lateAfterReturn),
		onQueue("Queue.Extend, Delete: a late receipt changes nothing (timed out)", 1, plenty, lateAfterTimeout),
		onQueue("Queue.Extend: too late, though no other receiver has the message", 1, plenty, lateAndUnclaimed),
		onQueue("Queue.Extend: returns exactly the lost ones", long, plenty, extendReturnsLost),
		onQueue("Queue.Receive: dead letter after max receives", 1, 3, deadAfterMax),
		onQueue("DeadLetters: body, trace and time of sending survive", long, 1, deadLetterSurvives),
		onQueue("DeadLetters: read and given back without end, deleted for good", long, 1, deadLetterIsReturned),
		onQueue("DeadLetters: one can be sent again, and is new then", long, 1, deadLetterIsRedriven),
	}
}

// timeoutRedelivers checks only the lower bound: redelivery may be late, but never early.
func timeoutRedelivers(t *testing.T, q queueTest) {
	must(t, q.Handles[0].Send(t.Context(), []byte("again"), ""))
	start := time.Now()
	last := receive(t, q.Handles[1])
	for i := range 3 {
		m := receive(t, q.Handles[i])
		notBefore(t, start, time.Duration(i+1)*q.limits.Visibility)
		wantNext(t, q, last, m)
		last = m
	}
}

// extendKeepsAway tests the heartbeat of a long job.
func extendKeepsAway(t *testing.T, q queueTest) {
	const attempts = 5
	for i := range attempts {
		body := fmt.Sprintf("attempt %d", i)
		must(t, q.Handles[0].Send(t.Context(), []byte(body), ""))
		start := time.Now()
		m := receiveBody(t, q.Handles[0], body)
		extended := time.Now()
		lost, err := q.Handles[1].Extend(t.Context(), 3*q.limits.Visibility, m)
		must(t, err)
		if len(lost) > 0 {
			if time.Since(start) < q.limits.Visibility {
				t.Fatalf("extend reports a message lost that was received %s ago", time.Since(start))
			}
			continue // this machine was suspended for longer than the timeout
		}
		receiveBody(t, q.Handles[2], body)
		notBefore(t, extended, 3*q.limits.Visibility)
		return
	}
	t.Fatalf("in %d attempts no message could be extended in time", attempts)
}

// extendShortens: a message that is returned with a backoff must not wait for the rest of the timeout.
func extendShortens(t *testing.T, q queueTest) {
	must(t, q.Handles[0].Send(t.Context(), []byte("soon"), ""))
	m := receive(t, q.Handles[0])
	extended := time.Now()
	wantHeld(t, q.Handles[0], q.Visibility, m)
	receive(t, q.Handles[1])
	notBefore(t, extended, q.Visibility)
	notAfter(t, extended, q.limits.Visibility/2)
}

// zeroReturns: a message that a stopping worker returns is delivered at once.
func zeroReturns(t *testing.T, q queueTest) {
	must(t, q.Handles[0].Send(t.Context(), []byte("back"), ""))
	last := receive(t, q.Handles[0])
	for i := range 4 {
		start := time.Now()
		wantHeld(t, q.Handles[i%3], 0, last)
		m := receive(t, q.Handles[(i+1)%3])
		notAfter(t, start, q.limits.Visibility/2)
		wantNext(t, q, last, m)
		last = m
	}
}

// lateAfterReturn: the first owner acts after the second one has received the message. It does not depend on clocks.
func lateAfterReturn(t *testing.T, q queueTest) {
	must(t, q.Handles[0].Send(t.Context(), []byte("two owners"), ""))
	late := receive(t, q.Handles[0])
	wantHeld(t, q.Handles[0], 0, late)
	now := receive(t, q.Handles[1])
	wantLost(t, q.Handles[0], late)
	must(t, q.Handles[0].Delete(t.Context(), late))
	wantHeld(t, q.Handles[1], 0, now) // neither deleted, nor extended, nor returned by the late one
	wantNext(t, q, now, receive(t, q.Handles[2]))
}

// lateAfterTimeout: the extension of a worker that was suspended must not hide the message from its new owner.
func lateAfterTimeout(t *testing.T, q queueTest) {
	must(t, q.Handles[0].Send(t.Context(), []byte("two owners"), ""))
	late := receive(t, q.Handles[0])
	now := receive(t, q.Handles[1])
	start := time.Now()
	wantLost(t, q.Handles[0], late)
	must(t, q.Handles[0].Delete(t.Context(), late))
	wantNext(t, q, now, receive(t, q.Handles[2]))
	notAfter(t, start, long*q.Visibility/2)
}

// lateAndUnclaimed: a late extension must report the message as lost even before another worker has received it.
func lateAndUnclaimed(t *testing.T, q queueTest) {
	must(t, q.Handles[0].Send(t.Context(), []byte("unclaimed"), ""))
	late := receive(t, q.Handles[0])
	time.Sleep(q.limits.Visibility * 3 / 2) // certainly timed out
	start := time.Now()
	wantLost(t, q.Handles[0], late)
	wantNext(t, q, late, receive(t, q.Handles[1]))
	notAfter(t, start, long*q.Visibility/2)
}

// extendReturnsLost mixes owned and deleted messages, in more than one batch.
func extendReturnsLost(t *testing.T, q queueTest) {
	const n = 12
	for i := range n {
		must(t, q.Handles[0].Send(t.Context(), fmt.Appendf(nil, "message %d", i), ""))
	}
	var list []imagery.Message
	want := map[string]bool{}
	for _, m := range collect(t, q.Handles[0], n) {
		if list = append(list, m); len(list)%2 == 0 {
			must(t, q.Handles[1].Delete(t.Context(), m))
			want[m.Receipt] = true
		}
	}
	lost, err := q.Handles[0].Extend(t.Context(), long*q.Visibility, list...)
	must(t, err)
	for _, m := range lost {
		if !want[m.Receipt] {
			t.Errorf("%q is reported lost, or twice", m.Body)
		}
		delete(want, m.Receipt)
	}
	if len(want) > 0 {
		t.Errorf("%d deleted messages are not reported lost", len(want))
	}
}

// deadAfterMax ends deliveries alternately by returning the message and by a timeout, as after a kill.
func deadAfterMax(t *testing.T, q queueTest) {
	must(t, q.Handles[0].Send(t.Context(), []byte("poison"), ""))
	must(t, q.Handles[0].Send(t.Context(), []byte("healthy"), ""))
	deliveries := 0
	var dead []imagery.Message
	eventually(t, "the message is a dead letter", func() bool {
		list, err := q.Handles[deliveries%3].Receive(t.Context(), 10, 2*q.Visibility)
		must(t, err)
		for _, m := range list {
			if string(m.Body) == "healthy" {
				must(t, q.Handles[0].Delete(t.Context(), m))
				continue
			}
			if deliveries++; q.Exact && m.Receives != deliveries {
				t.Errorf("delivery %d says %d receives", deliveries, m.Receives)
			}
			if deliveries%2 == 1 {
				_, err := q.Handles[0].Extend(t.Context(), 0, m)
				must(t, err)
			}
		}
		dead, err = q.DeadLetters[0].Receive(t.Context(), 10, 0)
		must(t, err)
		return len(dead) > 0
	})
	if len(dead) != 1 || string(dead[0].Body) != "poison" {
		t.Errorf("dead letters are %+v", dead)
	}
	if deliveries > q.limits.MaxReceives || q.Exact && deliveries != q.limits.MaxReceives {
		t.Errorf("it was delivered %d times, at most %d are allowed", deliveries, q.limits.MaxReceives)
	}
	wantQuiet(t, q.Handles[1], 2*q.Visibility)
}

// deadLetterSurvives: the reconciler needs all the data of the message.
func deadLetterSurvives(t *testing.T, q queueTest) {
	const trace = "Root=1-67891233-abcdef012345678912345678;Parent=53995c3f42cd8ad8;Sampled=1"
	alive, dead := kill(t, q, `{"imageId":"x"}`, trace)
	if string(dead.Body) != `{"imageId":"x"}` || dead.Trace != trace || !dead.Sent.Equal(alive.Sent) {
		t.Errorf("the dead letter is %+v, the message was %+v", dead, alive)
	}
}

// deadLetterIsReturned: the reconciler reads dead letters repeatedly, and they must stay available to operators.
func deadLetterIsReturned(t *testing.T, q queueTest) {
	_, dead := kill(t, q, "read me", "")
	late := dead
	for i := range 5 {
		wantHeld(t, q.DeadLetters[i%3], 0, dead)
		late, dead = dead, receive(t, q.DeadLetters[(i+1)%3])
		if string(dead.Body) != "read me" {
			t.Fatalf("the dead letter is %q", dead.Body)
		}
	}
	wantLost(t, q.DeadLetters[1], late)
	must(t, q.DeadLetters[2].Delete(t.Context(), dead))
	wantLost(t, q.DeadLetters[1], dead)
	wantQuiet(t, q.DeadLetters[0], q.Visibility)
	wantQuiet(t, q.Handles[0], 0)
}

// deadLetterIsRedriven sends the message before it deletes the dead letter, the order that loses nothing.
func deadLetterIsRedriven(t *testing.T, q queueTest) {
	_, dead := kill(t, q, "redrive me", "")
	must(t, q.Handles[1].Send(t.Context(), dead.Body, dead.Trace))
	must(t, q.DeadLetters[1].Delete(t.Context(), dead))
	if m := receive(t, q.Handles[2]); string(m.Body) != "redrive me" || q.Exact && m.Receives != 1 {
		t.Errorf("sent again it is %+v", m)
	}
}

// kill sends a message and returns it until it is a dead letter. It returns the first delivery and the dead letter.
func kill(t *testing.T, q queueTest, body, trace string) (alive, dead imagery.Message) {
	t.Helper()
	must(t, q.Handles[0].Send(t.Context(), []byte(body), trace))
	alive = receive(t, q.Handles[1])
	wantHeld(t, q.Handles[1], 0, alive)
	eventually(t, "the message is a dead letter", func() bool {
		again, err := q.Handles[2].Receive(t.Context(), 10, q.Visibility)
		must(t, err)
		_, err = q.Handles[2].Extend(t.Context(), 0, again...)
		must(t, err)
		list, err := q.DeadLetters[0].Receive(t.Context(), 10, 0)
		must(t, err)
		if len(list) > 0 {
			dead = list[0]
		}
		return len(list) > 0
	})
	return alive, dead
}

// receiveBody receives until it gets the message with that body. It deletes all others.
func receiveBody(t *testing.T, h imagery.Queue, body string) imagery.Message {
	t.Helper()
	for deadline := time.Now().Add(waitTimeout); time.Now().Before(deadline); {
		m := receive(t, h)
		if string(m.Body) == body {
			return m
		}
		must(t, h.Delete(t.Context(), m))
	}
	t.Fatalf("%q did not come within %s", body, waitTimeout)
	return imagery.Message{}
}

// wantNext fails unless m is the delivery that follows last.
func wantNext(t *testing.T, q queueTest, last, m imagery.Message) {
	t.Helper()
	if string(m.Body) != string(last.Body) || m.Receipt == last.Receipt || m.Receives <= last.Receives ||
		q.Exact && m.Receives != last.Receives+1 {
		t.Errorf("delivery %+v is followed by %+v", last, m)
	}
	if q.Exact && (m.ID != last.ID || !m.Sent.Equal(last.Sent)) {
		t.Errorf("delivery %+v is followed by another message, %+v", last, m)
	}
}

// wantHeld extends, and fails if the message was lost.
func wantHeld(t *testing.T, h imagery.Queue, d time.Duration, m imagery.Message) {
	t.Helper()
	if lost, err := h.Extend(t.Context(), d, m); err != nil || len(lost) != 0 {
		t.Fatalf("extend by %s: %d lost, %v", d, len(lost), err)
	}
}

// wantLost extends by a long time, and fails unless the message was lost.
func wantLost(t *testing.T, h imagery.Queue, m imagery.Message) {
	t.Helper()
	lost, err := h.Extend(t.Context(), time.Hour, m)
	if err != nil || len(lost) != 1 || lost[0].Receipt != m.Receipt {
		t.Errorf("extend with a late receipt: lost %+v, %v", lost, err)
	}
}
