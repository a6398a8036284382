package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"imagery/app/imagery"
)

// The services that may be unavailable.
const (
	table = iota
	bucket
	queueing
	nothing // calls that need no service
)

// The settings of the fleet. Few receives make last receives frequent.
const (
	visibility     = 30 * time.Second
	resendAfter    = 5 * time.Minute
	reconcileEvery = time.Minute
	uploadLife     = 30 * 24 * time.Hour
)

// profile has the random settings of one history.
type profile struct {
	images      int
	servers     int
	workers     int
	maxReceives int
	faults      int             // of 256 calls
	crashes     int             // of 256 steps
	skews       []time.Duration // clocks of processes and queue are off by one of these
	originals   bool            // originals may vanish
	daemon      bool            // -consume=false: a daemon receives, and tells neither time nor last delivery of a hint
	steps       int             // with faults
}

func drawProfile(s *source) profile {
	p := profile{
		images: 1 + s.intn(3), servers: 1 + s.intn(2), workers: 1 + s.intn(3), maxReceives: 1 + s.intn(4),
		faults: []int{0, 6, 24, 64}[s.intn(4)], crashes: []int{0, 2, 8}[s.intn(3)],
		skews: [][]time.Duration{{0}, {0, time.Second, -3 * time.Second},
			{0, time.Hour, -time.Hour}}[max(0, s.intn(4)-1)],
		originals: s.chance(1, 4), daemon: s.chance(1, 8),
	}
	p.steps = 50 + s.intn(500)
	return p
}

// maxSkew returns the largest difference between two clocks.
func (p profile) maxSkew() time.Duration {
	var d time.Duration
	for _, a := range p.skews {
		for _, b := range p.skews {
			d = max(d, a-b)
		}
	}
	return d
}

// photo is one file that clients upload.
type photo struct {
	name, body, hash string
	bad              bool // the filter refuses it
}

// photos are two valid ones and two invalid ones: one with a bad header, one that fails when it is decoded.
var photos = func() (ps []photo) {
	for _, name := range []string{"good", "fine", "broken", "headless"} {
		body := "photo " + name
		sum := sha256.Sum256([]byte(body))
		ps = append(ps, photo{name, body, hex.EncodeToString(sum[:]), name == "broken" || name == "headless"})
	}
	return ps
}()

// sepia returns the result of the filter.
func sepia(body string) string { return "sepia " + body }

// warning returns the warning of the filter: one of the valid photos is mended.
func warning(body string) string {
	if strings.HasSuffix(body, "fine") {
		return "A part of it is missing."
	}
	return ""
}

// ids are the ids of a world's images. Two share a shard of the pending index.
var ids = []string{"0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f0", "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f1",
	"fa1b2c3d-4e5f-4071-8293-a4b5c6d7e8f2"}

// world is the simulation: a table, a bucket, two queues and a clock, the processes that use them, and the scheduler.
type world struct {
	src     *source
	cfg     profile
	start   time.Time
	now     time.Time
	seq     int // writes to the table so far
	steps   int
	healed  bool // no more faults
	spawned int

	rows    []*row
	objects map[string]string
	removed map[string]bool // originals that vanished
	index   map[string]indexed
	leases  map[string]lease
	queue   *queue
	dead    *queue
	late    []*call
	away    [nothing + 1]time.Time

	servers, workers []*process
	console          *process // the operator's process
	actors           []*actor
	running          *actor

	seen    map[string]int // what happened, by name
	tracing bool
	trace   []string
}

func newWorld(src *source) *world {
	w := &world{
		src: src, cfg: drawProfile(src), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		objects: map[string]string{}, removed: map[string]bool{}, index: map[string]indexed{}, leases: map[string]lease{},
		seen: map[string]int{},
	}
	w.start = w.now
	for _, id := range ids[:w.cfg.images] {
		w.rows = append(w.rows, &row{id: id, revisions: []revision{{}}})
	}
	w.dead = &queue{world: w, name: "dead letters"}
	w.queue = &queue{world: w, name: "queue", dead: w.dead, skew: w.skew(), maxReceives: w.cfg.maxReceives}
	for i := range w.cfg.servers {
		w.servers = append(w.servers, w.process(fmt.Sprint("server", i)))
	}
	for i := range w.cfg.workers {
		w.workers = append(w.workers, w.process(fmt.Sprint("worker", i)))
	}
	w.console = w.process("console")
	return w
}

func (w *world) skew() time.Duration { return w.cfg.skews[w.src.intn(len(w.cfg.skews))] }

func (w *world) process(name string) *process {
	p := &process{name: name, skew: w.skew(), daemon: w.cfg.daemon}
	p.Service = &imagery.Service{
		Catalog: catalog{w}, Blobs: blobs{w}, Queue: w.queue, DeadLetters: w.dead, Filter: filter{w},
		Now:        func() time.Time { return w.now.Add(p.skew) },
		UploadLife: uploadLife, ResendAfter: resendAfter, Release: "model", Instance: name,
		Hook: func(at imagery.Failpoint, id string) {
			_ = w.do(call{service: nothing, what: string(at), subject: id,
				point: at}) // no effect; the process may be killed here
		},
	}
	p.restart()
	return p
}

// restart discards the memory of a process.
func (p *process) restart() {
	p.reconciler, p.passing = p.NewReconciler(p.name, reconcileEvery), false
	p.reconciler.PushDelivery = p.daemon
}

// violation is a broken promise.
type violation struct{ promise, detail string }

func (v violation) Error() string { return v.promise + ": " + v.detail }

// must ends the history if a promise does not hold.
func must(holds bool, promise, format string, args ...any) {
	if !holds {
		panic(violation{promise, fmt.Sprintf(format, args...)})
	}
}

// tracef adds a line to the trace, if tracing is on.
func (w *world) tracef(format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%4d %10s  ", w.steps,
			w.now.Sub(w.start))+abbreviate(fmt.Sprintf(format, args...)))
	}
}

// traceCall adds a call, its outcome, and the rows that it changed to the trace.
func (w *world) traceCall(a *actor, c *call, f outcome, before int) {
	answer := outcomeNames[f]
	if a.answer != nil {
		answer += ": " + a.answer.Error()
	}
	w.tracef("%-18s %s %s: %s", a.name, c.what, c.subject, answer)
	for _, r := range w.rows {
		if m := r.last(); m.from > before {
			w.tracef("%18s -> %s", "", m)
		}
	}
}

// abbreviate replaces ids and hashes by readable names.
func abbreviate(line string) string { return names.Replace(line) }

var names = func() *strings.Replacer {
	var pairs []string
	for i, id := range ids {
		pairs = append(pairs, id, fmt.Sprint("image", i))
	}
	for _, p := range photos {
		pairs = append(pairs, p.hash, p.name)
	}
	return strings.NewReplacer(pairs...)
}()
