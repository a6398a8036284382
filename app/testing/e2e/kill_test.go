package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/imagery"
)

// long reports whether the long tests run in full size.
func long() bool { return os.Getenv("LONG") == "1" }

// killPause is the interval between two kills.
const killPause = 500 * time.Millisecond

// minBusyKills is the minimum number of kills that must hit a working process, so that the run is meaningful.
const minBusyKills = 40

// TestKillEverything uploads photos with a client that retries while a server or worker is killed every half second,
// and once the whole fleet. Every accepted upload must become final, with a reason if it failed; nothing may be lost,
// duplicated or wrong. All settings are defaults, with queue chaos.
func TestKillEverything(t *testing.T) {
	t.Parallel()
	data := t.TempDir()
	killEverything(t, data, nil, nil, func() { checkInvariants(t, data) })
}

// killEverything runs a fleet with additional variables and flags, and calls check at the end.
func killEverything(t *testing.T, data string, env, flags []string, check func()) {
	count := 40
	if long() {
		count = 200
	}
	p := start(t, data, env, flags...)
	c := newClient(t, p.url)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()

	k := killer{t: t, fleet: p}
	killing, stopKilling := context.WithCancel(ctx)
	var killed sync.WaitGroup
	killed.Go(func() {
		k.run(killing, func() *program {
			p := start(t, data, env, flags...)
			c.base.Store(p.url) // clients must find the fleet again after its death
			return p
		})
	})

	list := photos(t, count)
	var next atomic.Int64
	var clients sync.WaitGroup
	for range 6 {
		clients.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= count && k.enough() {
					return
				}
				id := imagery.NewID()
				if err := c.upload(ctx, id, list[i%count]); err != nil {
					t.Error(err)
					return
				}
				// Users poll for a while; checkUploads waits for the end.
				looking, done := context.WithTimeout(ctx, time.Duration(rand.IntN(4000))*time.Millisecond)
				_, _ = c.final(looking, id)
				done()
			}
		})
	}
	clients.Wait()
	stopKilling()
	killed.Wait()
	if ctx.Err() != nil {
		t.Fatal("the run did not end")
	}
	t.Logf("%d photos accepted, %d kills, %d of them hit a process at work", len(c.accepted), k.kills, k.busy.Load())
	if k.busy.Load() < minBusyKills {
		t.Errorf("only %d kills hit a process at work", k.busy.Load())
	}
	c.checkUploads(ctx, 5*time.Minute)
	k.fleet.stop(t)
	check()
}

// killer kills processes of a fleet.
type killer struct {
	t     *testing.T
	fleet *program
	kills int
	busy  atomic.Int64
	all   bool // everything at once has happened
}

func (k *killer) enough() bool { return k.busy.Load() >= minBusyKills && k.kills > 0 }

// run kills until ctx ends. Half-way it kills all processes at once and starts the fleet again.
func (k *killer) run(ctx context.Context, restart func() *program) {
	tick := time.NewTicker(killPause)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		list := k.fleet.children(k.t)
		if !k.all && k.busy.Load() >= minBusyKills/2 {
			k.all = true
			for _, victim := range append(list, child{k.fleet.cmd.Process.Pid, "fleet"}) {
				k.kill(victim)
			}
			<-k.fleet.done
			k.fleet.done <- nil // for the cleanup
			k.fleet = restart()
			continue
		}
		if len(list) > 0 {
			k.kill(list[rand.IntN(len(list))])
		}
	}
}

func (k *killer) kill(victim child) {
	if victim.role != "fleet" && victim.busy(k.t) {
		k.busy.Add(1)
	}
	if err := syscall.Kill(victim.pid, syscall.SIGKILL); err == nil {
		k.kills++
	}
}

// checkUploads waits until every accepted upload is final, and checks the pixels of each result.
func (c *client) checkUploads(ctx context.Context, within time.Duration) {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	began := time.Now()
	counts := map[string]int{}
	for _, e := range c.accepted {
		v, err := c.final(ctx, e.id)
		if err != nil {
			c.t.Errorf("%s (%s) was accepted and is not final after %s: %v", e.id, e.photo.name, time.Since(began), err)
			continue
		}
		counts[v.State]++
		switch {
		case v.State == "failed" && v.Error == "":
			c.t.Errorf("%s (%s) failed without a reason", e.id, e.photo.name)
		case v.State == "failed" && e.photo.state == "processed":
			counts["failed though good"]++
			c.t.Logf("%s (%s): %s", e.id, e.photo.name, v.Error)
		case v.State == "processed" && e.photo.state == "failed":
			c.t.Errorf("%s (%s) was processed", e.id, e.photo.name)
		case v.State == "processed":
			c.compare(ctx, e, v)
		}
	}
	c.t.Logf("final after %s: %v", time.Since(began).Round(time.Second), counts)
}

// compare compares a result with the sepia filter of its original: exactly for PNG, within the loss of the encoder for
// JPEG.
func (c *client) compare(ctx context.Context, e acceptedUpload, v view) {
	c.t.Helper()
	result, err := c.download(ctx, v)
	if err != nil {
		c.t.Error(err)
		return
	}
	mean, most := difference(c.t, e.photo.body, result)
	exact := v.ProcessedKey[len(v.ProcessedKey)-3:] == "png"
	if exact && most > 0 || mean > 3 {
		c.t.Errorf("%s (%s): pixels differ by %.2f on average, %d at most", e.id, e.photo.name, mean, most)
	}
}

// stop sends SIGTERM and waits for a clean exit.
func (p *program) stop(t testing.TB) {
	t.Helper()
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case err := <-p.done:
		if err != nil {
			t.Errorf("a clean stop: %v", err)
		}
		p.done <- err
	case <-time.After(stopLimit):
		t.Fatal("the program did not stop")
	}
}

// checkInvariants checks the stored state of a data folder.
func checkInvariants(t *testing.T, data string) {
	t.Helper()
	s, err := fsck.Local(data)
	if err != nil {
		t.Fatal(err)
	}
	reportFindings(t, s)
}

// reportFindings fails the test for every finding except orphans: a crash between storing the object and the item, or a
// lost race, leaves an original by design.
func reportFindings(t *testing.T, s fsck.Snapshot) {
	t.Helper()
	classes := map[fsck.Class]int{}
	for _, f := range fsck.Check(s) {
		if classes[f.Class]++; f.Class != fsck.Orphan {
			t.Error(f)
		}
	}
	t.Logf("stored: %d items, %d objects, %d messages, lost %d, duplicated %d, orphans %d", len(s.Items), len(s.Objects),
		len(s.Messages), classes[fsck.Lost], classes[fsck.Duplicated], classes[fsck.Orphan])
}

// TestPoison uploads one photo that kills every worker that processes it. Its image must become failed with that
// reason, and every other photo must be processed.
func TestPoison(t *testing.T) {
	t.Parallel()
	poison := imagery.NewID()
	data := t.TempDir()
	// Without duplicates: each would kill five more workers.
	env := []string{"IMAGERY_FAILPOINT=" + fmt.Sprint(imagery.MidFilter, "@", poison)}
	p := start(t, data, env, "-queue-chaos", "0")
	c := newClient(t, p.url)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	var all sync.WaitGroup
	list := photos(t, 16)
	for i, photo := range list {
		id := imagery.NewID()
		if i == len(list)/2 {
			id, photo = poison, list[0]
		}
		all.Go(func() {
			if err := c.upload(ctx, id, photo); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	sent := time.Now()
	for _, e := range c.accepted {
		v, err := c.final(ctx, e.id)
		if err != nil {
			t.Fatal(err)
		}
		want, reason := e.photo.state, v.Error
		if e.id == poison {
			want = "failed"
			if wanted := "no worker lived through 5 attempts"; !strings.Contains(reason, wanted) {
				t.Errorf("the poison's reason is %q, want %q", reason, wanted)
			}
		}
		if v.State != want {
			t.Errorf("%s (%s) is %s: %s", e.id, e.photo.name, v.State, reason)
		}
	}
	t.Logf("recovered: a photo killed every worker, it and all others were final after %.1f s", time.Since(sent).Seconds())
	p.stop(t)
	checkInvariants(t, data)
}
