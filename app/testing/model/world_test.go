package model

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"imagery/app/imagery"
)

// The services that may be away.
const (
	table = iota
	bucket
	queueing
	nothing // calls that need no service
)

// The settings of the fleet. Few receives, so that last ones are frequent.
const (
	visibility     = 30 * time.Second
	resendAfter    = 5 * time.Minute
	reconcileEvery = time.Minute
	uploadLife     = 30 * 24 * time.Hour
)

// profile is the weather of one history.
type profile struct {
	images      int
	servers     int
	workers     int
	maxReceives int
	faults      int             // of 256 calls
	crashes     int             // of 256 steps
	skews       []time.Duration // clocks of processes and queue are off by one of these
	originals   bool            // originals may vanish
	daemon      bool            // a daemon receives for the workers, and does not say when a hint was sent
	steps       int             // of the wild part
}

func drawProfile(s *source) profile {
	p := profile{
		images: 1 + s.below(3), servers: 1 + s.below(2), workers: 1 + s.below(3), maxReceives: 1 + s.below(4),
		faults: []int{0, 6, 24, 64}[s.below(4)], crashes: []int{0, 2, 8}[s.below(3)],
		skews:     [][]time.Duration{{0}, {0, time.Second, -3 * time.Second}, {0, time.Hour, -time.Hour}}[max(0, s.below(4)-1)],
		originals: s.chance(1, 4), daemon: s.chance(1, 8),
	}
	p.steps = 50 + s.below(500)
	return p
}

// maxSkew is how far two clocks may be apart.
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

// photos are two that can be processed and two that cannot: by the header, and only by decoding.
var photos = func() (ps []photo) {
	for _, name := range []string{"good", "fine", "broken", "headless"} {
		body := "photo " + name
		sum := sha256.Sum256([]byte(body))
		ps = append(ps, photo{name, body, hex.EncodeToString(sum[:]), name == "broken" || name == "headless"})
	}
	return ps
}()

// sepia is what the filter makes of a photo that it can read.
func sepia(body string) string { return "sepia " + body }

// ids are the images of a world. Two share a shard of the pending index.
var ids = []string{"0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f0", "0a1b2c3d-4e5f-4071-8293-a4b5c6d7e8f1", "fa1b2c3d-4e5f-4071-8293-a4b5c6d7e8f2"}

// world is a table, a bucket, two queues and a clock, the processes that use them, and the scheduler that lets
// one of them take a step at a time.
type world struct {
	src     *source
	cfg     profile
	start   time.Time
	now     time.Time
	seq     int // writes to the table so far
	steps   int
	healed  bool // nothing goes wrong any more
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
	console          *process // where operators type
	actors           []*actor
	running          *actor

	seen    map[string]int // what happened, by name
	tracing bool
	trace   []string
}

func newWorld(src *source) *world {
	w := &world{
		src: src, cfg: drawProfile(src), now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		objects: map[string]string{}, removed: map[string]bool{}, index: map[string]indexed{}, leases: map[string]lease{}, seen: map[string]int{},
	}
	w.start = w.now
	for _, id := range ids[:w.cfg.images] {
		w.rows = append(w.rows, &row{id: id, past: []moment{{}}})
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

func (w *world) skew() time.Duration { return w.cfg.skews[w.src.below(len(w.cfg.skews))] }

func (w *world) process(name string) *process {
	p := &process{name: name, skew: w.skew()}
	p.Service = &imagery.Service{
		Catalog: catalog{w}, Blobs: blobs{w}, Queue: w.queue, DeadLetters: w.dead, Filter: filter{w},
		Now:        func() time.Time { return w.now.Add(p.skew) },
		UploadLife: uploadLife, ResendAfter: resendAfter, Release: "model", Instance: name,
		Hook: func(at imagery.Failpoint, id string) {
			_ = w.do(call{service: nothing, what: string(at), subject: id, point: at}) // only a place to stop at
		},
	}
	p.restart()
	return p
}

// restart forgets what the process had in its memory.
func (p *process) restart() {
	p.reconciler, p.passing = p.NewReconciler(p.name, reconcileEvery), false
}

// violation is a promise that was broken.
type violation struct{ promise, detail string }

func (v violation) Error() string { return v.promise + ": " + v.detail }

// must ends the history when a promise does not hold.
func must(holds bool, promise, format string, args ...any) {
	if !holds {
		panic(violation{promise, fmt.Sprintf(format, args...)})
	}
}

// note records a line of the trace; only traced worlds pay for it.
func (w *world) note(format string, args ...any) {
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%4d %10s  ", w.steps, w.now.Sub(w.start))+shortly(fmt.Sprintf(format, args...)))
	}
}

// traceCall records a call, what became of it, and the rows that it changed.
func (w *world) traceCall(a *actor, c *call, f fate, before int) {
	answer := fateNames[f]
	if a.answer != nil {
		answer += ": " + a.answer.Error()
	}
	w.note("%-18s %s %s: %s", a.name, c.what, c.subject, answer)
	for _, r := range w.rows {
		if m := r.last(); m.from > before {
			w.note("%18s -> %s", "", m)
		}
	}
}

// shortly gives ids and hashes names that a reader can tell apart.
func shortly(line string) string { return names.Replace(line) }

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
