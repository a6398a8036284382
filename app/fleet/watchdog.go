package fleet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"time"
)

// timing has the intervals and limits of a watchdog.
type timing struct {
	tick             time.Duration // between two checks of all children
	maxDelay         time.Duration // a check that is later than this is no evidence against a child
	probeInterval    time.Duration // between the starts of two probes of a child
	probeTimeout     time.Duration
	killAfter        time.Duration // without an answer
	killAfterUnknown time.Duration // the same, if the thread states cannot be read
	killInterval     time.Duration // minimum between two kills
}

// defaultTiming gives a probe far more time than /healthz needs, which depends on no other service.
var defaultTiming = timing{tick: 200 * time.Millisecond, maxDelay: time.Second, probeInterval: time.Second,
	probeTimeout: 5 * time.Second, killAfter: 10 * time.Second, killAfterUnknown: 30 * time.Second,
	killInterval: 30 * time.Second}

// watchdog kills a child that is frozen: stopped by a signal, or deadlocked. Such a process may hold the write lock of
// the table and block all others. A kill loses nothing, and the fleet starts the child again.
//
// A child is frozen when it has answered /healthz before, no probe was answered for timing.killAfter, and during this
// time the watchdog ran on schedule and no thread of the child was active. A child that is slow for lack of CPU or
// memory has an active thread, because the probe woke it. On a machine that was suspended, or is too busy to run the
// fleet itself, a check is late.
type watchdog struct {
	timing   timing
	log      *slog.Logger
	children []*watchState
	lastTick time.Time
	lastKill time.Time

	// Replaced by tests.
	ask             func(ctx context.Context, addr string) probeResult
	anyThreadActive func(pid int) (bool, error)
	kill            func(*child, *os.Process) error
}

// watchState holds what the watchdog has observed of the current process of a child.
type watchState struct {
	*child
	proc         *os.Process
	everAnswered bool
	probe        chan probeResult // nil while no probe runs
	probedAt     time.Time        // start of the last probe
	// silentSince is the start of the first probe without an answer, or the last time at which a thread was active or a
	// check was late; zero after an answer.
	silentSince time.Time
	blind       bool // since silentSince the thread states could not be read at least once
}

// probeResult is the outcome of a probe.
type probeResult int

const (
	noAnswer probeResult = iota // within the timeout
	answered                    // with any status
	// refused means that a connection failed at once, also for lack of resources of the fleet. The kernel accepts
	// connections for a frozen process, so a refusal means that the process has closed its listener and is stopping.
	refused
)

func newWatchdog(children []*child, log *slog.Logger) *watchdog {
	w := &watchdog{timing: defaultTiming, log: log, ask: askHealth, anyThreadActive: anyThreadActive,
		kill: (*child).killFrozen}
	for _, c := range children {
		w.children = append(w.children, &watchState{child: c})
	}
	return w
}

// run checks the children every timing.tick until ctx ends.
func (w *watchdog) run(ctx context.Context) {
	tick := time.NewTicker(w.timing.tick)
	defer tick.Stop()
	w.lastTick = time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.check(ctx, time.Now()) // the time of the tick is not the time at which it was received
		}
	}
}

// check updates the state of all children and kills the one that has been frozen for the longest time.
func (w *watchdog) check(ctx context.Context, now time.Time) {
	late := now.Sub(w.lastTick) > w.timing.tick+w.timing.maxDelay
	w.lastTick = now
	var worst *watchState
	for _, c := range w.children {
		w.update(ctx, c, now, late)
		if w.frozen(c, now) && (worst == nil || c.silentSince.Before(worst.silentSince)) {
			worst = c
		}
	}
	if worst != nil && now.Sub(w.lastKill) >= w.timing.killInterval {
		w.killFrozen(worst, now)
	}
}

// update collects the result of the last probe, checks the threads of a silent child, and starts the next probe.
func (w *watchdog) update(ctx context.Context, c *watchState, now time.Time, late bool) {
	process, addr := c.listeningProcess()
	if process != c.proc {
		*c = watchState{child: c.child, proc: process}
	}
	if process == nil {
		return
	}
	select {
	case v := <-c.probe:
		c.probe = nil
		c.everAnswered = c.everAnswered || v == answered
		if v != noAnswer {
			c.silentSince, c.blind = time.Time{}, false
		}
	default:
	}
	if !c.silentSince.IsZero() {
		moved, err := w.anyThreadActive(process.Pid)
		if moved || late {
			c.silentSince, c.blind = now, false
		}
		c.blind = c.blind || err != nil
	}
	if c.probe == nil && now.Sub(c.probedAt) >= w.timing.probeInterval {
		c.startProbe(ctx, addr, now, w)
	}
}

// startProbe starts a probe in a goroutine. A later update collects its result.
func (c *watchState) startProbe(ctx context.Context, addr string, now time.Time, w *watchdog) {
	probe := make(chan probeResult, 1)
	c.probe, c.probedAt = probe, now
	if c.silentSince.IsZero() {
		c.silentSince = now
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, w.timing.probeTimeout)
		defer cancel()
		probe <- w.ask(ctx, addr)
	}()
}

// frozen reports whether the child must be killed. Without thread states the limit is longer, because silence is then
// the only evidence.
func (w *watchdog) frozen(c *watchState, now time.Time) bool {
	limit := w.timing.killAfter
	if c.blind {
		limit = w.timing.killAfterUnknown
	}
	return c.everAnswered && !c.silentSince.IsZero() && now.Sub(c.silentSince) >= limit
}

// killFrozen kills a child and logs it.
func (w *watchdog) killFrozen(c *watchState, now time.Time) {
	silentFor := now.Sub(c.silentSince).Round(100 * time.Millisecond)
	if err := w.kill(c.child, c.proc); err != nil {
		w.log.Warn("child does not answer /healthz and could not be killed", "name", c.Name, "pid", c.proc.Pid,
			"silent_for", silentFor, "error", err)
		c.silentSince = now
		return
	}
	w.lastKill = now
	w.log.Warn("child was frozen and is started again: it did not answer /healthz", "name", c.Name,
		"pid", c.proc.Pid, "silent_for", silentFor)
}

// askHealth probes /healthz until ctx ends.
func askHealth(ctx context.Context, addr string) probeResult {
	_, err := get(ctx, addr, "/healthz")
	if err == nil {
		return answered
	}
	if timeout := net.Error(nil); isDialError(err) && !(errors.As(err, &timeout) && timeout.Timeout()) {
		return refused
	}
	return noAnswer
}

// activeStates are the states of a thread that is not frozen: R (running or runnable, also while a CPU limit throttles
// it), D (waiting for a disk or for memory) and t (traced by a debugger). The threads of a stopped process are in T,
// those of a deadlocked one in S.
const activeStates = "RDt"

// anyThreadActive reports whether any thread of the process is in an active state. It returns an error where this
// cannot be determined: only Linux has /proc/PID/task.
func anyThreadActive(pid int) (bool, error) {
	dir := fmt.Sprintf("/proc/%d/task", pid)
	threads, err := os.ReadDir(dir)
	if err != nil {
		return false, fmt.Errorf("list the threads: %w", err)
	}
	for _, t := range threads {
		stat, err := os.ReadFile(dir + "/" + t.Name() + "/stat")
		if err != nil {
			return true, nil // it has ended, so it was active; no other error proves that it is frozen
		}
		state, err := threadState(stat)
		if err != nil {
			return false, err
		}
		if strings.IndexByte(activeStates, state) >= 0 {
			return true, nil
		}
	}
	return false, nil
}

// threadState returns the state from "tid (name) state ...". The name may contain any character, so it ends at the last
// closing parenthesis.
func threadState(stat []byte) (byte, error) {
	end := bytes.LastIndex(stat, []byte(") "))
	if end < 0 || end+2 >= len(stat) {
		return 0, errors.New("unexpected format of a thread's stat file")
	}
	return stat[end+2], nil
}
