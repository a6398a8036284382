package fleet

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"time"
)

// pace says how patient a watchdog is.
type pace struct {
	beat    time.Duration // from one look at the children to the next
	late    time.Duration // a beat that comes later than this proves nothing about the children
	every   time.Duration // from the beginning of one probe to that of the next
	limit   time.Duration // of one probe
	silence time.Duration // after which a child without an answer is killed
	blind   time.Duration // the same, where the states of its threads cannot be read
	apart   time.Duration // the least time from one kill to the next
}

// usualPace gives a probe much more time than /healthz takes, which asks no other service.
var usualPace = pace{beat: 200 * time.Millisecond, late: time.Second, every: time.Second, limit: 5 * time.Second,
	silence: 10 * time.Second, blind: 30 * time.Second, apart: 30 * time.Second}

// watchdog kills a child that is frozen: stopped by a signal, or deadlocked. Such a process may hold the write lock of
// the table, and then no other one writes. A kill loses nothing, and keep starts the child again.
//
// A child is frozen when no probe of /healthz was answered for a while, although it had answered before, while the
// watchdog itself was on time and none of the child's threads moved. One that is slow, because the processor or the
// memory is short, has a thread that wants to run: the probe woke it. A machine that slept, or has no time for the
// fleet either, makes a beat late.
type watchdog struct {
	pace    pace
	log     *slog.Logger
	watched []*watched
	beaten  time.Time // the last beat
	killed  time.Time // the last kill

	// Replaced by tests.
	ask   func(ctx context.Context, addr string) verdict
	moves func(pid int) (bool, error)
	kill  func(*child, *os.Process) error
}

// watched is a child as the watchdog knows it.
type watched struct {
	*child
	of       *os.Process // what the rest is about
	answered bool        // at least once
	probe    chan verdict
	asked    time.Time // when the last probe began
	// silent is when the first of the probes began that were not answered since; later, if there was a reason for
	// that; zero after an answer.
	silent time.Time
	blind  bool // in that time the threads could not be seen at least once
}

// verdict is the outcome of a probe.
type verdict int

const (
	silent  verdict = iota // no answer within the limit
	answers                // whatever it says
	// refused also stands for a fleet that cannot connect. A process that is frozen does not refuse, the kernel accepts
	// for it: one that refuses has closed its listener, and is stopping.
	refused
)

func newWatchdog(children []*child, log *slog.Logger) *watchdog {
	w := &watchdog{pace: usualPace, log: log, ask: askHealth, moves: moves, kill: (*child).killFrozen}
	for _, c := range children {
		w.watched = append(w.watched, &watched{child: c})
	}
	return w
}

// run looks at the children until ctx ends.
func (w *watchdog) run(ctx context.Context) {
	tick := time.NewTicker(w.pace.beat)
	defer tick.Stop()
	w.beaten = time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			w.look(ctx, time.Now()) // the tick's own time does not tell when it was received
		}
	}
}

// look does one beat: it learns of every child, and kills the one that has been frozen for longest.
func (w *watchdog) look(ctx context.Context, now time.Time) {
	late := now.Sub(w.beaten) > w.pace.beat+w.pace.late
	w.beaten = now
	var worst *watched
	for _, c := range w.watched {
		w.observe(ctx, c, now, late)
		if w.frozen(c, now) && (worst == nil || c.silent.Before(worst.silent)) {
			worst = c
		}
	}
	if worst != nil && now.Sub(w.killed) >= w.pace.apart {
		w.end(worst, now)
	}
}

// observe brings what is known of the child up to date.
func (w *watchdog) observe(ctx context.Context, c *watched, now time.Time, late bool) {
	process, addr := c.living()
	if process != c.of {
		*c = watched{child: c.child, of: process}
	}
	if process == nil {
		return
	}
	select {
	case v := <-c.probe:
		c.probe = nil
		c.heard(v)
	default:
	}
	if !c.silent.IsZero() {
		moved, err := w.moves(process.Pid)
		if moved || late {
			c.silent, c.blind = now, false
		}
		c.blind = c.blind || err != nil
	}
	if c.probe == nil && now.Sub(c.asked) >= w.pace.every {
		c.begin(ctx, addr, now, w)
	}
}

// heard takes the verdict of a probe.
func (c *watched) heard(v verdict) {
	if v == silent {
		return
	}
	c.answered = c.answered || v == answers
	c.silent, c.blind = time.Time{}, false
}

// begin starts a probe, whose verdict observe finds at a later beat.
func (c *watched) begin(ctx context.Context, addr string, now time.Time, w *watchdog) {
	probe := make(chan verdict, 1)
	c.probe, c.asked = probe, now
	if c.silent.IsZero() {
		c.silent = now
	}
	go func() {
		ctx, cancel := context.WithTimeout(ctx, w.pace.limit)
		defer cancel()
		probe <- w.ask(ctx, addr)
	}()
}

// frozen reports whether the child is to be killed. Where its threads cannot be seen only time tells, so it gets more.
func (w *watchdog) frozen(c *watched, now time.Time) bool {
	patience := w.pace.silence
	if c.blind {
		patience = w.pace.blind
	}
	return c.answered && !c.silent.IsZero() && now.Sub(c.silent) >= patience
}

// end kills the child, and says so.
func (w *watchdog) end(c *watched, now time.Time) {
	quiet := now.Sub(c.silent).Round(100 * time.Millisecond)
	if err := w.kill(c.child, c.of); err != nil {
		w.log.Warn("child does not answer /healthz and could not be killed", "name", c.Name, "pid", c.of.Pid,
			"silent_for", quiet, "error", err)
		c.silent = now
		return
	}
	w.killed = now
	w.log.Warn("child was frozen: it did not answer /healthz, so it was killed and is started again", "name", c.Name,
		"pid", c.of.Pid, "silent_for", quiet)
}

// healthProber opens a connection for each probe, like prober; the context bounds it.
var healthProber = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// askHealth probes /healthz until ctx ends.
func askHealth(ctx context.Context, addr string) verdict {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+addr+"/healthz", nil)
	if err != nil {
		return refused
	}
	res, err := healthProber.Do(req)
	if err == nil {
		res.Body.Close()
		return answers
	}
	if timeout := net.Error(nil); isDialError(err) && !(errors.As(err, &timeout) && timeout.Timeout()) {
		return refused
	}
	return silent
}
