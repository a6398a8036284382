package main

import (
	"flag"
	"fmt"
	"net"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"imagery/app/testing/fakeaws"
	"imagery/infra/compute"
	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/traffic"
)

var all = flag.Bool("all", false, "every case on real machines, not only those of about a minute")

// TestMachines boots the prod stack on real machines and does to it what happens to machines. The cases share the
// stack and follow one another.
func TestMachines(t *testing.T) {
	if *factor == 0 {
		*factor = map[bool]int{false: 20, true: 10}[*all]
	}
	r := newRig(t, rigOptions{factor: *factor, retry: 30 * time.Second})
	r.logf("durations of hooks, health checks, drains, warm-ups, bakes and alarms are divided by %d; those of unit and "+
		"user-data are as they are", *factor)
	r.boot()
	r.load.Start()
	r.firstRelease()
	r.rollBad()
	r.rollGood()
	r.killed()
	if *all {
		r.rollHalfBad()
		r.rollSlow()
		r.badRelease("bad binary", []byte("#!/bin/sh\nexit 1\n"), "run the self-test")
		r.missingRight()
		r.hangingBoot()
		r.frozen()
		r.fullDisk()
		r.poweredOff()
		r.zoneDown()
	}
	r.nothingLost(r.load.Stop())
	r.everyRightIsNeeded()
}

// boot is the first fill.
func (r *rig) boot() {
	r.Helper()
	from := time.Now()
	r.full()
	r.logf("boot: two servers and two workers in service %.1f s after their groups were made", time.Since(from).Seconds())
	for _, g := range []string{servers, workers} {
		for _, a := range r.sim.Activities(g) {
			r.logf("boot: %s of %s", aws.ToString(a.StatusMessage), g)
		}
	}
	id := r.in(servers, "")[0].ID
	score, err := r.host.Exec(id, "systemd-analyze", "security", "--no-pager", "imagery.service")
	if err != nil || !exposure.MatchString(score) {
		r.Errorf("%v: %s", err, score[max(0, len(score)-300):])
	}
	r.logf("unit: %s", strings.TrimSpace(score[max(0, strings.LastIndex(score, "→")):]))
	if user, err := r.host.Exec(id, "ps", "-o", "user=,args=", "-C", "imagery"); err != nil ||
		!strings.HasPrefix(user, "imagery") {
		r.Errorf("the service runs as %s, %v", user, err)
	}
}

// exposure is at most 1.2 of 10.
var exposure = regexp.MustCompile(`Overall exposure level for imagery.service: (0\.\d|1\.[0-2]) OK`)

// unharmed fails if a request since then was not answered well, and prints what was sent.
func (r *rig) unharmed(what string, since time.Time) {
	r.Helper()
	r.until("a hundred requests", func() bool { return len(r.load.Since(since)) >= 100 })
	reqs, failed := r.load.Since(since), 0
	by := map[string]int{}
	for _, q := range reqs {
		by[q.Server]++
		if !q.OK() {
			if failed++; failed <= 5 {
				r.Errorf("%s: %+v", what, q)
			}
		}
	}
	r.logf("%s: %d requests, %d failed, by server %v", what, len(reqs), failed, by)
}

func ids(of []asgsim.Instance) []string {
	var out []string
	for _, i := range of {
		out = append(out, i.ID)
	}
	return out
}

// bad asks for one more server of a version that must not come into service, and waits for its end.
func (r *rig) bad(what, version, reason string) time.Duration {
	r.Helper()
	r.full()
	from := time.Now()
	before := ids(r.in(servers, ""))
	three, two := 3, 2
	live := r.in(servers, "")[0].Version
	r.change(servers, asgsim.Change{Version: version, Desired: &three})
	id := ""
	took := r.until(what+": a launch is abandoned", func() bool {
		for _, a := range r.sim.Activities(servers) {
			if a.Version == version && a.StatusCode == "Cancelled" && a.StartTime.After(from) {
				id = a.Instance
				return true
			}
		}
		return false
	})
	r.change(servers, asgsim.Change{Version: live, Desired: &two})
	r.until(what+": the machine is off", func() bool { return !r.host.Running(id) })
	if console := r.host.Console(id); reason != "" && !strings.Contains(console, "IMAGERY BOOT FAILED: "+reason) {
		r.Errorf("%s: the console does not say %q:\n%s", what, reason, console[max(0, len(console)-3000):])
	} else if reason != "" {
		_, line, _ := strings.Cut(console, "IMAGERY BOOT FAILED: ")
		line, _, _ = strings.Cut(line, "\n")
		r.logf("%s: the console says: %s", what, strings.TrimSpace(line))
	}
	if !eventually(func() bool { return slices.Equal(ids(r.in(servers, live)), before) }) {
		r.Errorf("%s: servers were %v and are %v", what, before, ids(r.in(servers, live)))
	}
	r.unharmed(fmt.Sprintf("%s: abandoned after %.1f s and powered off", what, took.Seconds()), from)
	return took
}

func (r *rig) badRelease(what string, binary []byte, reason string) time.Duration {
	r.Helper()
	return r.bad(what, r.release(binary, binary), reason)
}

// withoutRight does something while servers may not do one of their calls. Which role asks is known by its key.
func (r *rig) withoutRight(do func()) {
	r.cloud.Proxy.Inject(func(c fakeaws.Call) fakeaws.Fault {
		if c.Caller == "server" && c.Operation == "PutObject" && strings.HasPrefix(c.Object, "selftest/") {
			return fakeaws.Fault{Kind: fakeaws.Denied}
		}
		return r.rights.fault(c)
	})
	defer r.cloud.Proxy.Inject(r.rights.fault)
	do()
}

func (r *rig) missingRight() {
	r.Helper()
	r.withoutRight(func() { r.bad("missing right", r.release(r.good, r.good), "run the self-test") })
}

// hangingBoot: a program that does not come back. The script would end it after the 110 seconds that it gives a
// selftest; here the hook, whose time is divided and the script's is not, gives up first.
func (r *rig) hangingBoot() {
	r.Helper()
	took := r.badRelease("hanging boot", []byte("#!/bin/sh\nexec sleep 1000\n"), "")
	if least := compute.LaunchTimeout / time.Duration(*factor); took < least {
		r.Errorf("the hook gave up after %s, before its %s", took, least)
	}
}

// signal sends a signal to the service of a machine and waits until another process serves.
func (r *rig) signal(id, name string) time.Duration {
	r.Helper()
	pid := func() string { out, _ := r.host.Exec(id, "systemctl", "show", "-P", "MainPID", "imagery"); return out }
	old := pid()
	if out, err := r.host.Exec(id, "kill", "-"+name, old); err != nil {
		r.Fatal(out, err)
	}
	return r.until("another process serves after "+name, func() bool {
		if now := pid(); now == "0" || now == old {
			return false
		}
		out, _ := r.host.Exec(id, "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://127.0.0.1:8080/readyz")
		return out == "200"
	})
}

func (r *rig) killed() {
	r.Helper()
	for _, group := range []string{workers, servers} {
		took := r.signal(r.in(group, "")[0].ID, "KILL")
		r.logf("kill -9 in %s: ready again after %.1f s", group, took.Seconds())
	}
	r.full()
	r.goOn("kill -9")
}

// goOn proves that uploads are taken again.
func (r *rig) goOn(what string) {
	r.Helper()
	from := time.Now()
	took := r.until(what+": twenty uploads after it", func() bool {
		n := 0
		for _, q := range r.load.Since(from) {
			if q.What == "upload" && q.OK() {
				n++
			}
		}
		return n >= 20
	})
	r.logf("%s: twenty uploads within %.1f s after it", what, took.Seconds())
}

// failedSince counts, for cases in which a request may fail.
func (r *rig) failedSince(what string, t time.Time) {
	reqs := r.load.Since(t)
	failed := slices.DeleteFunc(slices.Clone(reqs), traffic.Request.OK)
	r.logf("%s: %d requests, %d failed", what, len(reqs), len(failed))
}

func (r *rig) frozen() {
	r.Helper()
	from := time.Now()
	took := r.signal(r.in(workers, "")[0].ID, "STOP")
	r.logf("frozen worker: the watchdog had it ready again after %.1f s (WatchdogSec=30)", took.Seconds())
	r.goOn("frozen")
	r.failedSince("frozen", from)
}

// fullDisk fills the disk of the logs; the service must not mind.
func (r *rig) fullDisk() {
	r.Helper()
	from := time.Now()
	var ids []string
	for _, group := range []string{servers, workers} {
		id := r.in(group, "")[0].ID
		if out, err := r.host.Exec(id, "bash", "-c",
			"head -c 64M /dev/zero >/var/log/imagery/fill; df --output=pcent /var/log/imagery | tail -1"); !strings.Contains(out,
			"100%") {
			r.Fatal(out, err)
		}
		ids = append(ids, id)
	}
	r.goOn("full disk")
	r.unharmed("full disk of logs", from)
	for _, id := range ids {
		_, _ = r.host.Exec(id, "rm", "/var/log/imagery/fill") // the machine lives on
	}
}

func (r *rig) poweredOff() {
	r.Helper()
	from := time.Now()
	var off []string
	for _, group := range []string{servers, workers} {
		id := r.in(group, "")[0].ID
		off = append(off, id)
		r.host.PowerOff(id)
		// A test that only asked the power off of itself would believe itself.
		if _, err := net.DialTimeout("tcp", r.host.Address(id)+":8080", time.Second); err == nil || r.host.Leader(id) != 0 {
			r.Errorf("%s is not off", id)
		}
	}
	r.goOn("powered off")
	// By name: a replacement may be in service before the first read.
	r.until("the dead are not counted", func() bool {
		return !slices.Contains(ids(r.in(servers, "")), off[0]) && !slices.Contains(ids(r.in(workers, "")), off[1])
	})
	r.full()
	r.failedSince(fmt.Sprintf("a server and a worker lost their power: full again after %.1f s",
		time.Since(from).Seconds()), from)
}

func (r *rig) zoneDown() {
	r.Helper()
	from := time.Now()
	r.must(r.host.Zone("eu-central-1a", false))
	r.until("the servers of the zone are out", func() bool { return len(r.in(servers, "")) < 2 })
	r.goOn("zone down")
	time.Sleep(3 * time.Second) // of load, on one zone
	r.goOn("zone down, later")
	r.must(r.host.Zone("eu-central-1a", true))
	r.full()
	r.failedSince(fmt.Sprintf("a zone was off the network: full again after %.1f s", time.Since(from).Seconds()), from)
}
