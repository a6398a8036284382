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

// memory is the memory plan of a server or worker, in bytes.
type memory struct {
	// Of a server: its connection limit, and the memory of its uploads, either its own (uploads) or that of the fleet
	// (shared).
	connections int
	uploads     int64
	shared      server.Memory
	// Of a worker: its slots, and the memory that photos lease.
	worker settings.WorkerPlan
	photos budget.Memory
}

// unmeasured is the budget if no memory limit can be read.
const unmeasured = 1 << 30

// measured returns the memory budget of all processes on this machine.
func measured() int64 { return cmp.Or(budget.Measured(), unmeasured) }

// planMemory plans the memory of a server or worker from the -memory setting, from the pools of the fleet that started
// the process, or from the measured limit. It also sets the limit of the garbage collector.
func planMemory(s settings.Settings) (m memory, err error) {
	if address := os.Getenv(poolsEnv); address != "" && s.Memory == 0 {
		os.Unsetenv(poolsEnv)
		return planShared(address, s)
	}
	bytes := cmp.Or(s.Memory, measured())
	debug.SetMemoryLimit(min(bytes, debug.SetMemoryLimit(-1)))
	m.connections = httpserver.Connections(bytes)
	moreConnections := int64(m.connections - httpserver.MinConnections)
	m.uploads = bytes - settings.ProcessBase - moreConnections*httpserver.MemoryPerConnection
	m.uploads = max(m.uploads, settings.MaxUploadBytes) // with less, a photo of maximum size could never be uploaded
	m.worker = settings.PlanWorker(runtime.GOMAXPROCS(0), bytes, s.MaxPixels)
	m.photos = budget.NewPool(m.worker.Photos)
	m.worker.Photos = min(cmp.Or(s.PhotoMemory, m.worker.Photos), m.worker.Photos)
	return m, nil
}

// poolsEnv has the address of the memory broker of a local fleet and the total memory in bytes: ADDRESS BYTES.
const poolsEnv = "IMAGERY_POOLS"

// The names of the memory pools of a local fleet.
const (
	uploadsPool = "uploads"
	photosPool  = "photos"
)

// openPools starts the memory broker of a local fleet. It returns the environment variable by which children find it.
func openPools(plan settings.LocalPlan, bytes int64) (b *budget.Broker, env string, err error) {
	b, err = budget.NewBroker(map[string]int64{uploadsPool: plan.Uploads, photosPool: plan.Photos})
	if err != nil {
		return nil, "", err
	}
	return b, fmt.Sprintf("%s=%s %d", poolsEnv, b.Address(), bytes), nil
}

// localConnections returns the connection limit of the balancer and of each server of a local fleet: a third of the
// connections for which memory is reserved.
func localConnections(bytes int64) int {
	return httpserver.Connections(bytes / settings.LocalConnections)
}

// planShared plans the memory of a child of a local fleet.
func planShared(env string, s settings.Settings) (m memory, err error) {
	address, size, _ := strings.Cut(env, " ")
	bytes, err := strconv.ParseInt(size, 10, 64)
	if err != nil {
		return m, fmt.Errorf("read %s: %w", poolsEnv, err)
	}
	plan := settings.PlanLocal(runtime.GOMAXPROCS(0), bytes, s.MaxPixels)
	m.connections, m.worker = localConnections(bytes), plan.Worker
	m.worker.Photos = min(cmp.Or(s.PhotoMemory, plan.Photos), plan.Photos)
	h := &heap{limit: slack + settings.LocalBase}
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

// heap adjusts the limit of the garbage collector to the leases of this process.
type heap struct {
	mu    sync.Mutex
	limit int64
	held  int64
	freed time.Time // when a lease last ended with a garbage collection
}

// slack, in bytes, keeps the garbage collector from running all the time in a process without leases. It is part of the
// memory that no plan assigns.
const slack = 24 << 20

// collectAbove is the size of a lease, in bytes, whose end triggers a garbage collection, because another process may
// use the memory next.
const collectAbove = 8 << 20

// changed adds delta, in bytes, to the leases, and returns memory to the operating system when leases end.
func (h *heap) changed(delta int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.limit += delta
	h.held += delta
	if delta <= -collectAbove || delta < 0 && h.held == 0 && time.Since(h.freed) > time.Second {
		debug.FreeOSMemory()
		h.freed = time.Now()
	}
	debug.SetMemoryLimit(h.limit)
}
