package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"syscall"
	"time"

	"imagery/app/imagery"
)

// scenario is one fault that is injected into a running service.
type scenario struct {
	point  string // value of -point
	role   string // role of the process that dies
	inject func(ctx context.Context, e *env) (fault, error)
	// noRetry makes clients give up when their upload fails; otherwise they repeat it.
	noRetry bool
	// idle starts no workers until the fault is injected, so that hints accumulate and none is sent again.
	idle bool
}

// fault is an injected fault, with the evidence that it took effect.
type fault struct {
	at     time.Time
	target string // for the table: what was killed or purged, and its evidence
}

func (s scenario) String() string {
	name := strings.TrimSpace(s.role + " " + s.point)
	if s.noRetry {
		name += ", clients give up"
	}
	return name
}

// Points beside the failpoints.
const (
	sigkillAll  = "sigkill-everything"
	purgedQueue = "queue-purged"
)

// scenarios returns all scenarios of one backend. A SIGKILL of one child of the fleet at any time is not among them:
// TestKillEverything and TestKillEverythingOnAWS in app/testing/e2e do that at least forty times.
func scenarios() (all []scenario) {
	for _, p := range []imagery.Failpoint{imagery.AfterObject, imagery.AfterMove, imagery.BeforeHint, imagery.AfterHint} {
		all = append(all, scenario{point: string(p), role: "server", inject: atFailpoint("server", p)})
	}
	all = append(all, scenario{point: string(imagery.AfterObject), role: "server",
		inject: atFailpoint("server", imagery.AfterObject), noRetry: true})
	for _, p := range []imagery.Failpoint{
		imagery.MidFilter, imagery.AfterResult, imagery.AfterProcessed, imagery.BeforeAck,
	} {
		all = append(all, scenario{point: string(p), role: "worker", inject: atFailpoint("worker", p)})
	}
	// The reconciler runs in workers and sends hints, too.
	for _, p := range []imagery.Failpoint{imagery.BeforeHint, imagery.AfterHint} {
		all = append(all, scenario{point: string(p), role: "reconciler", inject: duringResend(p), idle: true})
	}
	return append(all,
		scenario{point: sigkillAll, inject: killAll},
		scenario{point: purgedQueue, inject: purgeQueue, idle: true})
}

// points returns the values of -point.
func points() (names []string) {
	for _, s := range scenarios() {
		if !slices.Contains(names, s.point) {
			names = append(names, s.point)
		}
	}
	return names
}

// atFailpoint adds a process of the role that kills itself at the failpoint, and then replaces it by one without a
// failpoint, as a service manager would do.
func atFailpoint(role string, p imagery.Failpoint) func(context.Context, *env) (fault, error) {
	return func(ctx context.Context, e *env) (fault, error) {
		victim, err := e.join(ctx, role, "-failpoint", fmt.Sprintf("%s#%d", p, e.nth))
		if err != nil {
			return fault{}, err
		}
		if err := victim.Wait(ctx); err != nil {
			return fault{}, fmt.Errorf("%s was not reached: %w", p, err)
		}
		e.traffic.removeEndpoint(victim.URL)
		evidence, err := victim.AwaitLine(ctx, fmt.Sprintf(`failpoint %s: pass (\d+)`, p))
		if err != nil {
			return fault{}, err
		}
		if !victim.Killed() {
			return fault{}, fmt.Errorf("the process at %s was not killed: %w", p, victim.Err)
		}
		_, err = e.join(ctx, role)
		return fault{victim.EndedAt, fmt.Sprintf("a %s, at its pass %s", role, evidence[1])}, err
	}
}

// duringResend purges the queue and kills a reconciler while it sends the lost hints again. No workers run before, so
// that the reconciler of the added worker is the leader.
func duringResend(p imagery.Failpoint) func(context.Context, *env) (fault, error) {
	return func(ctx context.Context, e *env) (fault, error) {
		n, err := e.store.purge(ctx)
		if err != nil {
			return fault{}, err
		}
		f, err := atFailpoint("worker", p)(ctx, e)
		f.target += fmt.Sprintf(", %d hints lost before", n)
		return f, err
	}
}

// killAll kills the fleet and its children at the same time, and starts the fleet again on the same store.
func killAll(ctx context.Context, e *env) (fault, error) {
	pids := []int{e.fleet.PID()}
	for _, name := range []string{"server-1", "server-2", "worker-1", "worker-2"} {
		pid, err := e.fleet.ChildPID(ctx, name)
		if err != nil {
			return fault{}, err
		}
		pids = append(pids, pid)
	}
	e.traffic.awaitUpload(ctx)
	f := fault{time.Now(), "the fleet and its 4 children"}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return f, fmt.Errorf("kill a process of the fleet: %w", err)
		}
	}
	if err := e.fleet.Wait(ctx); err != nil {
		return f, err
	}
	if !e.fleet.Killed() {
		return f, fmt.Errorf("the fleet was not killed: %w", e.fleet.Err)
	}
	e.traffic.removeEndpoint(e.fleet.URL)
	return f, e.startFleet(ctx)
}

// purgeQueue deletes all messages and then starts the workers.
func purgeQueue(ctx context.Context, e *env) (fault, error) {
	n, err := e.store.purge(ctx)
	f := fault{time.Now(), fmt.Sprintf("the queue, with %d messages", n)}
	if err == nil && n == 0 {
		err = errors.New("the queue was empty, so its loss proves nothing")
	}
	for range 2 {
		if err == nil {
			_, err = e.join(ctx, "worker")
		}
	}
	return f, err
}
