package main

import (
	"runtime"
	"runtime/debug"
	"testing"
	"time"

	"imagery/app/deploy/settings"
)

// TestSharedMemory: the workers of a local fleet lease from one pool, its servers from another, neither hands out more
// than the plan says, and the collector's limit of a process follows what it holds.
func TestSharedMemory(t *testing.T) {
	defer debug.SetMemoryLimit(debug.SetMemoryLimit(-1))
	const bytes = 300 << 20
	s := settings.Settings{MaxPixels: settings.DefaultMaxPixels}
	plan := settings.PlanLocal(runtime.GOMAXPROCS(0), bytes, s.MaxPixels)
	b, env, err := openPools(plan, bytes)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	go b.Serve(func(err error) { t.Error(err) })
	child := func(role settings.Role) memory {
		s.Role = role
		m, err := planShared(env[len(poolsEnv)+1:], s)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	first, second, server := child(settings.Worker), child(settings.Worker), child(settings.Server)
	if first.worker.Photos != plan.Photos || first.photos == nil || server.shared == nil {
		t.Fatalf("%+v, %+v; the plan is %+v", first, server, plan)
	}
	limit := func() int64 { return debug.SetMemoryLimit(-1) }
	releaseNone, ok := second.photos.TryAcquire(1)
	if !ok {
		t.Fatal("nothing can be leased")
	}
	base := limit() - 1
	releaseNone()
	release, err := first.photos.Acquire(t.Context(), plan.Photos)
	if err != nil {
		t.Fatal(err)
	}
	if grown := limit() - base; grown != plan.Photos {
		t.Errorf("the collector's limit grew by %d bytes for a lease of %d", grown, plan.Photos)
	}
	if _, ok := second.photos.TryAcquire(1); ok {
		t.Error("the workers hold more than all photos may")
	}
	uploads, ok := server.shared.TryAcquire(plan.Uploads)
	if !ok {
		t.Error("photos take the memory of uploads")
	} else {
		uploads()
	}
	release()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(time.Millisecond) {
		if release, ok := second.photos.TryAcquire(plan.Photos); ok {
			release()
			break
		}
		if time.Now().After(deadline) {
			t.Fatal("a lease that ended is not free again")
		}
	}
}
