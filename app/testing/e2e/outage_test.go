package e2e

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
)

// TestOutages makes each service unavailable for a while, with every kind of fault. Requests must be answered within
// the 10 s of the contract, accepted uploads must be processed, and none may fail. The settings scale ten minutes down
// to ten seconds.
func TestOutages(t *testing.T) {
	t.Parallel()
	for _, service := range []string{"dynamodb", "s3", "sqs"} {
		t.Run(service, func(t *testing.T) {
			t.Parallel()
			c, s := fakeaws.Start(t, imagery.Limits{Visibility: 5 * time.Second, MaxReceives: 5})
			a := aws{c, s}
			scaled := []string{"-outage", "15s", "-resend-after", "5s"}
			server := a.role(t, "server", scaled...)
			worker := a.role(t, "worker", scaled...)
			client := newClient(t, server.url)
			ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
			defer cancel()
			client.ready(ctx, worker)
			body := encodeJPEG(t, scene(1, 400, 300))
			var uploads sync.WaitGroup
			upload := func() {
				id := imagery.NewID()
				uploads.Go(func() {
					if err := client.upload(ctx, id, photo{"jpeg", body, "processed"}); err != nil {
						t.Error(err)
					}
				})
			}
			for range 5 {
				upload()
			}
			faults := []fakeaws.Kind{fakeaws.ServerError, fakeaws.NoResponse, fakeaws.Reset, fakeaws.Throttled}
			a.Proxy.Inject(func(call fakeaws.Call) fakeaws.Fault {
				if call.Service != service || call.Caller == "test" {
					return fakeaws.Fault{}
				}
				return fakeaws.Fault{Kind: faults[call.Ordinal%len(faults)]}
			})
			over := make(chan time.Time, 1)
			time.AfterFunc(10*time.Second, func() { // although the uploads of a slow machine take longer
				a.Proxy.Inject(nil)
				over <- time.Now()
			})
			for range 10 {
				upload()
				uploads.Go(func() { client.checkAnswerTimes(ctx) })
				time.Sleep(time.Second)
			}
			back := <-over
			upload()
			uploads.Wait()
			client.checkUploads(ctx, 2*time.Minute)
			t.Logf("recovered: %s was away for 10 s, all photos were final %.1f s after it was back", service,
				time.Since(back).Seconds())
			if n := len(a.Queues.Messages(a.DLQURL)); n > 0 {
				t.Errorf("%d dead letters", n)
			}
			for _, p := range []*program{server, worker} {
				client.ready(ctx, p)
			}
			a.checkInvariants(t)
		})
	}
}

// slowness allows a slow machine to answer later than promised.
const slowness = 5 * time.Second

// checkAnswerTimes requests one path of each kind and checks that it is answered within 10 s, with any status.
func (c *client) checkAnswerTimes(ctx context.Context) {
	for _, path := range []string{"/healthz", "/readyz", "/image/" + imagery.NewID()} {
		began := time.Now()
		res, err := c.Do(ctx, http.MethodGet, path, nil, nil)
		if took := time.Since(began); err != nil || took > 10*time.Second+slowness {
			c.t.Errorf("GET %s during the outage: %d %s, %v after %s", path, res.Status, res.Body, err, took)
		}
	}
}

// inFlight waits until the queue has a message in flight.
func (a aws) inFlight(ctx context.Context, t *testing.T) {
	t.Helper()
	for ctx.Err() == nil {
		for _, m := range a.Queues.Messages(a.QueueURL) {
			if m.InFlight {
				return
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("no message came into flight")
}

// TestFrozenWorker stops a worker during a job for longer than the visibility timeout. When it continues, it must not
// change the image that another worker has finished.
func TestFrozenWorker(t *testing.T) {
	t.Parallel()
	c, s := fakeaws.Start(t, imagery.Limits{Visibility: 5 * time.Second, MaxReceives: 5})
	a := aws{c, s}
	server, frozen := a.role(t, "server"), a.role(t, "worker")
	client := newClient(t, server.url)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	client.ready(ctx, frozen)
	id := imagery.NewID()
	large := photo{"large jpeg", encodeJPEG(t, noisy(scene(1, 4000, 3000), 1)), "processed"}
	if err := client.upload(ctx, id, large); err != nil {
		t.Fatal(err)
	}
	a.inFlight(ctx, t)
	if err := frozen.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	defer frozen.cmd.Process.Signal(syscall.SIGCONT)
	froze := time.Now()
	second := start(t, t.TempDir(), a.Env("second"), a.args("-role", "worker")...)
	v, err := client.final(ctx, id)
	if err != nil || v.State != "processed" {
		t.Fatalf("the second worker: %+v, %v", v, err)
	}
	t.Logf("recovered: a worker froze, another one had finished its photo after %.1f s", time.Since(froze).Seconds())
	if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	// The worker shows that it works again by processing another photo alone.
	second.stop(t)
	again := imagery.NewID()
	if err := client.upload(ctx, again, large); err != nil {
		t.Fatal(err)
	}
	if v, err := client.final(ctx, again); err != nil || v.State != "processed" {
		t.Fatalf("the thawed worker: %+v, %v", v, err)
	}
	if after, err := client.Get(ctx, id); err != nil || after != v {
		t.Errorf("the thawed worker changed %+v to %+v, %v", v, after, err)
	}
	a.checkInvariants(t)
}

// TestRollingRestarts stops workers during a job. Each must finish this job and return every message whose job has not
// begun, so that nothing stays in flight. As no visibility timeout ends during the test, messages that are delivered
// again are only those that were returned, on a busy machine several times.
func TestRollingRestarts(t *testing.T) {
	t.Parallel()
	c, s := fakeaws.Start(t, imagery.Limits{Visibility: 10 * time.Minute, MaxReceives: 5})
	a := aws{c, s}
	server := a.role(t, "server")
	client := newClient(t, server.url)
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	for i := range 12 {
		large := photo{"large jpeg", encodeJPEG(t, noisy(scene(uint64(i), 2400, 1600), uint64(i))), "processed"}
		if err := client.upload(ctx, imagery.NewID(), large); err != nil {
			t.Fatal(err)
		}
	}
	var workers []*program
	for range 3 {
		a.Proxy.Clear()
		a.Proxy.Inject(a.slowWorker())
		worker := a.role(t, "worker")
		id := a.jobBegun(ctx, t)
		worker.stop(t)
		for _, m := range a.Queues.Messages(a.QueueURL) {
			if m.InFlight {
				t.Error("a stopped worker left a message in flight")
			}
		}
		if !slices.ContainsFunc(worker.jobs(t), func(j job) bool { return j.Image == id }) {
			t.Errorf("the worker was stopped while it processed image %s, and did not finish", id)
		}
		workers = append(workers, worker)
	}
	a.Proxy.Inject(nil)
	workers = append(workers, a.role(t, "worker"))
	client.checkUploads(ctx, 2*time.Minute)
	finished := map[string]int{}
	for _, worker := range workers {
		for _, j := range worker.jobs(t) {
			// A job that waits for memory has not begun either.
			if waited := strings.Contains(j.Error, "bytes of memory: context canceled"); waited {
				continue
			}
			if finished[j.Image]++; j.Outcome != string(imagery.Done) || finished[j.Image] > 1 {
				t.Errorf("not the only job of its image, or without success: %+v", j)
			}
		}
	}
	reportFindings(t, a.snapshot(t))
}

// slowWorker returns the faults that let a worker be stopped in the middle: its job does not end before, and another
// message arrives afterwards.
func (a aws) slowWorker() func(fakeaws.Call) fakeaws.Fault {
	var receives atomic.Int64
	return func(call fakeaws.Call) fakeaws.Fault {
		receive := call.Operation == "ReceiveMessage" && call.QueueURL == a.QueueURL
		if call.Caller == "worker" && (call.Operation == "PutObject" || receive && receives.Add(1) > 1) {
			return fakeaws.Fault{Kind: fakeaws.Late, Delay: 500 * time.Millisecond}
		}
		return fakeaws.Fault{}
	}
}

// jobBegun waits until a worker reads an original, and returns the id of the image.
func (a aws) jobBegun(ctx context.Context, t *testing.T) string {
	t.Helper()
	for ; ctx.Err() == nil; time.Sleep(2 * time.Millisecond) {
		for _, c := range a.Proxy.Calls() {
			parts := strings.Split(c.Object, "/") // upload/<id>/<hash>; a probe has no hash
			if c.Caller == "worker" && c.Operation == "GetObject" && len(parts) == 3 {
				return parts[1]
			}
		}
	}
	t.Fatal("no job began")
	return ""
}

// TestDeadLetterExplained checks that a photo that kills its workers becomes a dead letter and its image says why; an
// invalid photo, or a message about no image, never becomes one.
func TestDeadLetterExplained(t *testing.T) {
	t.Parallel()
	c, s := fakeaws.Start(t, imagery.Limits{Visibility: 4 * time.Second, MaxReceives: 3})
	a := aws{c, s}
	poison := imagery.NewID()
	fleet := start(t, t.TempDir(), append(a.Env("fleet"), "IMAGERY_FAILPOINTS_ON_AWS=1"), a.args("-resend-after", "10s",
		"-failpoint", fmt.Sprint(imagery.MidFilter, "@", poison))...)
	client := newClient(t, fleet.url)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	good := encodeJPEG(t, scene(1, 400, 320))
	if err := client.upload(ctx, poison, photo{"poison", good, "failed"}); err != nil {
		t.Fatal(err)
	}
	bad := imagery.NewID()
	if err := client.upload(ctx, bad, photo{"broken", good[:len(good)/4], "failed"}); err != nil {
		t.Fatal(err)
	}
	a.send(t, a.QueueURL, fmt.Sprintf(`{"imageId":%q,"desiredState":"processed"}`, imagery.NewID()))
	for id, reason := range map[string]string{poison: "no worker lived through 3 attempts", bad: "decode"} {
		if v, err := client.final(ctx, id); err != nil || v.State != "failed" || !strings.Contains(v.Error, reason) &&
			id == poison || v.Error == "" {
			t.Errorf("image %s: %+v, %v; want the reason %q", id, v, err, reason)
		}
	}
	for len(a.Queues.Messages(a.QueueURL)) > 0 && ctx.Err() == nil {
		time.Sleep(50 * time.Millisecond)
	}
	letters := a.Queues.Messages(a.DLQURL)
	for _, m := range letters {
		if !bytes.Contains([]byte(m.Body), []byte(poison)) {
			t.Errorf("a dead letter that is not the poison's: %s", m.Body)
		}
	}
	if len(letters) == 0 {
		t.Error("the poison left no dead letter")
	}
	a.checkInvariants(t)
}
