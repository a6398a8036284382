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

// attack is one blow that a fleet must survive.
type attack struct {
	point  string // as -point calls it
	role   string // of the process that dies
	strike func(ctx context.Context, s *stage) (blow, error)
	hasty  bool // clients give up when their upload fails; else they repeat it
	// idle leaves the workers out until the attack begins, so that hints pile up and none is sent again.
	idle bool
}

// blow is a strike that has fallen, with the proof.
type blow struct {
	at   time.Time
	died string // for the table: what, and how that is known
}

func (a attack) String() string {
	s := strings.TrimSpace(a.role + " " + a.point)
	if a.hasty {
		s += ", clients give up"
	}
	return s
}

// The points that are no commit points.
const (
	sigkill     = "sigkill"
	sigkillAll  = "sigkill-everything"
	purgedQueue = "queue-purged"
)

// attacks lists all rows of one backend. The reconciler, in the worker role, passes the points around a hint, too.
func attacks() (all []attack) {
	for _, p := range []imagery.Failpoint{imagery.AfterObject, imagery.AfterMove, imagery.BeforeHint, imagery.AfterHint} {
		all = append(all, attack{point: string(p), role: "server", strike: atPoint("server", p)})
	}
	all = append(all, attack{point: string(imagery.AfterObject), role: "server", strike: atPoint("server", imagery.AfterObject), hasty: true})
	for _, p := range []imagery.Failpoint{imagery.MidFilter, imagery.AfterResult, imagery.AfterProcessed, imagery.BeforeAck} {
		all = append(all, attack{point: string(p), role: "worker", strike: atPoint("worker", p)})
	}
	for _, p := range []imagery.Failpoint{imagery.BeforeHint, imagery.AfterHint} {
		all = append(all, attack{point: string(p), role: "reconciler", strike: resending(p), idle: true})
	}
	return append(all,
		attack{point: sigkill, role: "server", strike: kill("server-1")},
		attack{point: sigkill, role: "worker", strike: kill("worker-1")},
		attack{point: sigkillAll, strike: killEverything},
		attack{point: purgedQueue, strike: purge, idle: true})
}

// points are the names that -point takes.
func points() (names []string) {
	for _, a := range attacks() {
		if !slices.Contains(names, a.point) {
			names = append(names, a.point)
		}
	}
	return names
}

// atPoint lets a further process of the role join the fleet, which kills itself at the point. It is replaced by
// one that does not, as a service manager would do.
func atPoint(role string, p imagery.Failpoint) func(context.Context, *stage) (blow, error) {
	return func(ctx context.Context, s *stage) (blow, error) {
		victim, err := s.join(ctx, role, "-failpoint", fmt.Sprintf("%s#%d", p, s.nth))
		if err != nil {
			return blow{}, err
		}
		if err := victim.end(ctx); err != nil {
			return blow{}, fmt.Errorf("%s was not reached: %w", p, err)
		}
		s.traffic.close(victim.url)
		proof, err := victim.await(ctx, fmt.Sprintf(`failpoint %s: pass (\d+)`, p))
		if err != nil {
			return blow{}, err
		}
		if !victim.killed() {
			return blow{}, fmt.Errorf("the process at %s was not killed: %w", p, victim.err)
		}
		_, err = s.join(ctx, role)
		return blow{victim.at, fmt.Sprintf("a %s, at its pass %s", role, proof[1])}, err
	}
}

// resending makes a reconciler send hints again, for all were lost, and die while it does. Only the workers that
// join receive and reconcile here: which of several leads is nobody's choice.
func resending(p imagery.Failpoint) func(context.Context, *stage) (blow, error) {
	return func(ctx context.Context, s *stage) (blow, error) {
		n, err := s.store.purge(ctx)
		if err != nil {
			return blow{}, err
		}
		b, err := atPoint("worker", p)(ctx, s)
		b.died += fmt.Sprintf(", %d hints lost before", n)
		return b, err
	}
}

// kill ends one of the fleet's children from outside; the fleet replaces it.
func kill(name string) func(context.Context, *stage) (blow, error) {
	return func(ctx context.Context, s *stage) (blow, error) {
		pid, err := s.fleet.child(ctx, name)
		if err != nil {
			return blow{}, err
		}
		s.traffic.rush(ctx)
		b := blow{time.Now(), "the fleet's " + name}
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return b, fmt.Errorf("kill %s: %w", name, err)
		}
		_, err = s.fleet.await(ctx, `"child ended".*"name":"`+name+`","status":"signal: killed"`)
		return b, err
	}
}

// killEverything ends the fleet and its children at the same instant, and starts it again on what is left.
func killEverything(ctx context.Context, s *stage) (blow, error) {
	pids := []int{s.fleet.cmd.Process.Pid}
	for _, name := range []string{"server-1", "server-2", "worker-1", "worker-2"} {
		pid, err := s.fleet.child(ctx, name)
		if err != nil {
			return blow{}, err
		}
		pids = append(pids, pid)
	}
	s.traffic.rush(ctx)
	b := blow{time.Now(), "the fleet and its 4 children"}
	for _, pid := range pids {
		if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
			return b, fmt.Errorf("kill a process of the fleet: %w", err)
		}
	}
	if err := s.fleet.end(ctx); err != nil {
		return b, err
	}
	if !s.fleet.killed() {
		return b, fmt.Errorf("the fleet was not killed: %w", s.fleet.err)
	}
	s.traffic.close(s.fleet.url)
	return b, s.startFleet(ctx)
}

// purge throws away every hint, and only then lets workers join.
func purge(ctx context.Context, s *stage) (blow, error) {
	n, err := s.store.purge(ctx)
	b := blow{time.Now(), fmt.Sprintf("the queue, with %d messages", n)}
	if err == nil && n == 0 {
		err = errors.New("the queue was empty, so its loss proves nothing")
	}
	for range 2 {
		if err == nil {
			_, err = s.join(ctx, "worker")
		}
	}
	return b, err
}
