package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"imagery/app/admin/fsck"
	api "imagery/app/client"
	"imagery/app/imagery"
)

// crash is a fault that is injected while photos are uploaded.
type crash struct {
	role  string // of the process that kills itself at point
	point string
	// giveUp makes clients give up when a request fails; otherwise they repeat it.
	giveUp bool
	// idle starts no worker until all hints were purged from the queue.
	idle bool
}

func (c crash) String() string {
	name := strings.TrimSpace(c.role + " " + c.point)
	if c.idle && c.role == "worker" {
		name = "reconciler " + c.point // it runs in workers, and sends the lost hints again
	}
	if c.giveUp {
		name += ", clients give up"
	}
	return name
}

// sigkillAll kills the fleet and its children at the same time.
const sigkillAll = "sigkill-everything"

var crashes = []crash{
	{role: "server", point: string(imagery.AfterObject)},
	{role: "server", point: string(imagery.AfterMove)},
	{role: "server", point: string(imagery.BeforeHint)},
	{role: "server", point: string(imagery.AfterHint)},
	{role: "server", point: string(imagery.AfterObject), giveUp: true},
	{role: "worker", point: string(imagery.MidFilter)},
	{role: "worker", point: string(imagery.AfterResult)},
	{role: "worker", point: string(imagery.AfterProcessed)},
	{role: "worker", point: string(imagery.BeforeAck)},
	{role: "worker", point: string(imagery.BeforeHint), idle: true},
	{role: "worker", point: string(imagery.AfterHint), idle: true},
	{point: sigkillAll},
	{point: "queue-purged", idle: true},
}

// crashLoad is the load of a crash.
type crashLoad struct {
	width  int           // of photos, in pixels
	nth    int           // a process dies when it passes its failpoint for the nth time
	around time.Duration // time of uploads before a fault without a failpoint, and after every fault
}

// minAccepted is the minimum number of uploads during a crash, so that it is meaningful.
const minAccepted = 20

// burst photos are uploaded at the same time, every second, so that each process handles several at once.
const burst = 5

// TestCrashes kills a process at each failpoint in each role that passes it, kills all processes at once, and purges
// the queue. Each accepted photo must be processed once, and the stored state must be consistent. It logs the rows of
// docs/failures.md.
func TestCrashes(t *testing.T) {
	t.Parallel()
	for _, p := range imagery.Failpoints {
		if !slices.ContainsFunc(crashes, func(c crash) bool { return c.point == string(p) }) {
			t.Errorf("no process is killed at %s", p)
		}
	}
	page, err := os.ReadFile("../../../docs/failures.md")
	if err != nil {
		t.Fatal(err)
	}
	load, limits := crashLoad{160, 3, 4 * time.Second}, pace{5 * time.Second, 5, 5 * time.Second}
	if long() { // the timeouts of role local
		load, limits = crashLoad{800, 10, 10 * time.Second}, pace{10 * time.Second, 5, 15 * time.Second}
	}
	for _, c := range crashes {
		for _, backend := range []string{"local", "aws"} {
			if !strings.Contains(string(page), fmt.Sprintf("\n| %s | %s |", backend, c)) {
				t.Errorf("docs/failures.md has no row of %s on %s", c, backend)
			}
		}
		t.Run(c.String(), func(t *testing.T) {
			t.Parallel()
			onBothBackends(t, limits, func(d *deployment) { d.crash(c, load) })
		})
	}
}

// crash runs one crash, and checks the results.
func (d *deployment) crash(c crash, load crashLoad) {
	ctx, cancel := context.WithTimeout(d.Context(), 5*time.Minute)
	running := map[string]*program{}
	client := newClient(d, "")
	run := func(role string) {
		flags := []string{"-role", role}
		if role == c.role && running[role] == nil {
			flags = append(flags, "-failpoint", fmt.Sprintf("%s#%d", c.point, load.nth))
		}
		running[role] = d.fleet(flags...)
		if role != "worker" {
			client.base.Store(running[role].url)
			client.ready(ctx, running[role])
		}
	}
	if c.point == sigkillAll {
		run("local")
	} else {
		run("server")
		if !c.idle {
			run("worker")
		}
	}
	uploading, stopUploads := context.WithCancel(ctx)
	var uploads sync.WaitGroup
	defer uploads.Wait() // also after a failure
	defer cancel()
	uploads.Go(func() { client.uploadBursts(ctx, uploading, load, c.giveUp) })

	var at time.Time
	var target string
	if c.point == sigkillAll {
		time.Sleep(load.around)
		client.awaitAccepted(ctx, client.count()+1) // of a burst: the service is busy now
		at, target = time.Now(), "the fleet and its 4 children"
		d.killFleet(running["local"])
		run("local")
	}
	if c.idle {
		time.Sleep(load.around)
		at, target = time.Now(), fmt.Sprintf("the queue, with %d messages", d.purge(ctx))
		run("worker")
	}
	if c.role != "" {
		victim := running[c.role]
		victim.awaitKill(ctx, d.T)
		at = time.Now()
		if line := fmt.Sprintf("failpoint %s: pass %d,", c.point, load.nth); !strings.Contains(logOf(d.T, victim), line) {
			d.Fatalf("the log has no line %q", line)
		}
		target = strings.TrimSuffix(fmt.Sprintf("a %s, at its pass %d; %s", c.role, load.nth, target), "; ")
		run(c.role)
	}
	time.Sleep(load.around)
	client.awaitAccepted(ctx, minAccepted)
	stopUploads()
	uploads.Wait()
	client.checkUploads(ctx, 2*time.Minute)
	for slices.ContainsFunc(d.snapshot().Items, func(i fsck.Item) bool { return i.State == "uploaded" }) {
		if ctx.Err() != nil { // clients gave these up after their photo had arrived
			d.Fatal("an image is not final")
		}
		time.Sleep(100 * time.Millisecond)
	}
	for _, p := range running {
		p.stop(d)
	}
	d.reportCrash(c, at, target, client.accepted)
}

// uploadBursts uploads bursts until start ends, and waits for the open uploads until ctx ends.
func (c *client) uploadBursts(ctx, start context.Context, load crashLoad, giveUp bool) {
	var list []photo
	for i := range 8 {
		list = append(list, photo{"jpeg", encodeJPEG(c.t, scene(uint64(i), load.width, load.width*3/4)), "processed"})
	}
	if giveUp {
		defer func(pause time.Duration) { c.Retry = pause }(c.Retry)
		c.Retry = 0
	}
	var uploads sync.WaitGroup
	for n := 0; start.Err() == nil; {
		for range burst {
			p := list[n%len(list)]
			n++
			uploads.Go(func() {
				err := c.upload(ctx, imagery.NewID(), p)
				if err != nil && !(giveUp && api.Temporary(err)) {
					c.t.Error(err)
				}
			})
		}
		select {
		case <-time.After(time.Second):
		case <-start.Done():
		}
	}
	uploads.Wait()
}

// count returns the number of accepted uploads.
func (c *client) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.accepted)
}

// awaitAccepted waits until n uploads are accepted.
func (c *client) awaitAccepted(ctx context.Context, n int) {
	for c.count() < n && ctx.Err() == nil {
		time.Sleep(time.Millisecond)
	}
}

// purge deletes all messages of the queue and returns their number.
func (d *deployment) purge(ctx context.Context) (n int) {
	d.Helper()
	for {
		list, err := d.queue.Receive(ctx, 10, 0)
		if err == nil {
			err = d.queue.Delete(ctx, list...)
		}
		if err != nil {
			d.Fatal(err)
		}
		if len(list) == 0 {
			break
		}
		n += len(list)
	}
	if n == 0 {
		d.Error("the queue was empty, so its loss proves nothing")
	}
	return n
}

// killFleet kills a fleet and its children.
func (d *deployment) killFleet(p *program) {
	d.Helper()
	for _, victim := range append([]child{{pid: p.cmd.Process.Pid}}, p.children(d)...) {
		if err := syscall.Kill(victim.pid, syscall.SIGKILL); err != nil {
			d.Fatal(err)
		}
	}
	p.awaitKill(d.Context(), d.T)
}

// awaitKill waits until SIGKILL has ended the process.
func (p *program) awaitKill(ctx context.Context, t *testing.T) {
	t.Helper()
	select {
	case err := <-p.done:
		p.done <- err // for the cleanup
	case <-ctx.Done():
		t.Fatal("no process was killed")
	}
	if s, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || s.Signal() != syscall.SIGKILL {
		t.Fatalf("the process ended with %v instead of SIGKILL", p.cmd.ProcessState)
	}
}

// reportCrash checks the stored state and logs the row of docs/failures.md.
func (d *deployment) reportCrash(c crash, at time.Time, target string, accepted []acceptedUpload) {
	d.Helper()
	s := d.snapshot()
	reportFindings(d.T, s)
	inFlight, orphans, recovered := 0, 0, time.Duration(0)
	for _, i := range s.Items {
		arrived := slices.ContainsFunc(accepted, func(u acceptedUpload) bool { return u.id == i.ID })
		if arrived && (i.State != "processed" || i.Version != 2) {
			d.Errorf("%s was not processed exactly once: %+v", i.ID, i)
		}
		final := time.UnixMilli(i.Updated)
		if arrived && time.UnixMilli(i.Created).Before(at) && final.After(at) {
			inFlight++
			recovered = max(recovered, final.Sub(at))
		}
	}
	for _, f := range fsck.Check(s) {
		if f.Class == fsck.Orphan {
			orphans++
		}
	}
	if len(accepted) < minAccepted || c.role == "" && inFlight == 0 {
		d.Errorf("%d photos were accepted, %d in flight: the fault of an idle service proves nothing", len(accepted),
			inFlight)
	}
	backend := "local"
	if d.data == "" {
		backend = "aws"
	}
	d.Logf("recovered:\n| %s | %s | %s | %d | %.1f s | %d |", backend, c, target, inFlight, recovered.Seconds(), orphans)
}
