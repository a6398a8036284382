package main

import (
	"cmp"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"time"

	"imagery/app/budget"
	"imagery/app/deploy/settings"
	"imagery/app/httpserver"
	"imagery/app/server"
)

// memory says what a server or worker does with its memory, in bytes.
type memory struct {
	// Of a server: the connections that it may have, and where its uploads take their bytes, from a budget of its own or
	// from one that is shared.
	connections int
	uploads     int64
	shared      server.Memory
	// Of a worker: what it does at once, and where photos take their bytes.
	worker settings.WorkerPlan
	photos budget.Memory
}

// unmeasured is the budget where no limit of memory can be read.
const unmeasured = 1 << 30

// measured returns the budget of everything that runs here.
func measured() int64 { return cmp.Or(budget.Measured(), unmeasured) }

// planMemory plans a server or worker: with the budget that was set by hand, with the pools of the fleet that started
// it, or with what was measured. The garbage collector is told to stay below it.
func planMemory(s settings.Settings) (m memory, err error) {
	if address := os.Getenv(poolsEnv); address != "" && s.Memory == 0 {
		os.Unsetenv(poolsEnv)
		return planShared(address, s)
	}
	bytes := cmp.Or(s.Memory, measured())
	debug.SetMemoryLimit(min(bytes, debug.SetMemoryLimit(-1)))
	m.connections = httpserver.Connections(bytes)
	m.uploads = bytes - settings.ProcessBase - int64(m.connections-httpserver.MinConnections)*httpserver.MemoryPerConnection
	m.uploads = max(m.uploads, settings.MaxUploadBytes) // with less, no photo of full size would ever get in
	m.worker = settings.PlanWorker(runtime.GOMAXPROCS(0), bytes, s.MaxPixels)
	m.photos = budget.NewPool(m.worker.Photos)
	m.worker.Photos = min(cmp.Or(s.PhotoMemory, m.worker.Photos), m.worker.Photos)
	return m, nil
}

// poolsEnv tells a child of a local fleet where its memory is leased, and what all of it is: ADDRESS BYTES.
const poolsEnv = "IMAGERY_POOLS"

// The pools of a local fleet.
const (
	uploadsPool = "uploads"
	photosPool  = "photos"
)

// openPools makes the pools of a local fleet with that many bytes. Children find them by the environment.
func openPools(plan settings.LocalPlan, bytes int64) (b *budget.Broker, env string, err error) {
	b, err = budget.NewBroker(map[string]int64{uploadsPool: plan.Uploads, photosPool: plan.Photos})
	if err != nil {
		return nil, "", err
	}
	return b, fmt.Sprintf("%s=%s %d", poolsEnv, b.Address(), bytes), nil
}

// localConnections returns how many connections the balancer and each server of a local fleet may have: a third of what
// is set aside for them.
func localConnections(bytes int64) int {
	return httpserver.Connections(bytes / settings.LocalConnections)
}

// planShared plans a child of a local fleet.
func planShared(env string, s settings.Settings) (m memory, err error) {
	address, size, _ := strings.Cut(env, " ")
	bytes, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return m, fmt.Errorf("read %s: %w", poolsEnv, err)
	}
	plan := settings.PlanLocal(runtime.GOMAXPROCS(0), bytes, s.MaxPixels)
	m.connections, m.worker = localConnections(bytes), plan.Worker
	m.worker.Photos = min(cmp.Or(s.PhotoMemory, plan.Photos), plan.Photos)
	h := &heap{limit: slack + settings.ProcessBase}
	if s.Role == settings.Worker {
		h.limit += plan.Worker.Files()
		m.photos, err = budget.Dial(address, photosPool, h.changed)
	} else {
		h.limit += int64(m.connections-httpserver.MinConnections) * httpserver.MemoryPerConnection
		m.shared, err = budget.Dial(address, uploadsPool, h.changed)
	}
	h.changed(0)
	return m, err
}

// heap keeps the garbage collector's limit at what this process may hold now.
type heap struct {
	mu    sync.Mutex
	limit int64
	held  int64
	freed time.Time // when garbage was last collected for a lease that ended
}

// slack keeps the collector from running all the time in a process that is near its base: in bytes, and paid from the
// part of the memory that no plan hands out.
const slack = 24 << 20

// worthwhile is the size of a lease, in bytes, after which garbage is collected at once: another process is about to
// use those bytes, while this one would keep them until its next collection.
const worthwhile = 8 << 20

// changed takes a lease into account, or gives its bytes back to the system.
func (h *heap) changed(delta int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.limit += delta
	h.held += delta
	if delta <= -worthwhile || delta < 0 && h.held == 0 && time.Since(h.freed) > time.Second {
		debug.FreeOSMemory()
		h.freed = time.Now()
	}
	debug.SetMemoryLimit(h.limit)
}
