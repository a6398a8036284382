package budget_test

import (
	"context"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"imagery/app/budget"
)

// claim is a request for bytes in the background.
type claim struct {
	got     atomic.Bool
	release func()
	cancel  context.CancelFunc
}

// acquire requests n bytes in the background, and returns once they are granted or the request waits.
func acquire(t *testing.T, p *budget.Pool, n int64) *claim {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	c := &claim{cancel: cancel}
	go func() {
		if release, err := p.Acquire(ctx, n); err == nil {
			c.release = release
			c.got.Store(true)
		}
	}()
	synctest.Wait()
	return c
}

// TestBypassWithoutDelay: requests that leave enough for a large one that waits may bypass it at any time.
func TestBypassWithoutDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := budget.NewPool(100)
		running := acquire(t, p, 60)
		large := acquire(t, p, 70)
		time.Sleep(10 * budget.MaxBypass)
		first, second, third := acquire(t, p, 20), acquire(t, p, 10), acquire(t, p, 10)
		if large.got.Load() || !first.got.Load() || !second.got.Load() {
			t.Errorf("large %t, small %t %t", large.got.Load(), first.got.Load(), second.got.Load())
		}
		if third.got.Load() {
			t.Error("40 of 100 bytes have bypassed a request for 70")
		}
		second.release()
		synctest.Wait()
		if !third.got.Load() {
			t.Error("bytes that were released count as bypassing")
		}
		running.release()
		synctest.Wait()
		if !large.got.Load() {
			t.Error("not granted, though enough is free")
		}
	})
}

// TestBypassWithDelay: requests that may delay a large one bypass it until that has waited for MaxBypass.
func TestBypassWithDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := budget.NewPool(100)
		running := acquire(t, p, 60)
		large := acquire(t, p, 100)
		early := acquire(t, p, 30)
		if large.got.Load() || !early.got.Load() {
			t.Errorf("large %t, small %t", large.got.Load(), early.got.Load())
		}
		time.Sleep(budget.MaxBypass)
		late := acquire(t, p, 10)
		if _, ok := p.TryAcquire(10); ok || late.got.Load() {
			t.Error("a small request bypassed a large one that had waited for MaxBypass")
		}
		running.release()
		early.release()
		synctest.Wait()
		if !large.got.Load() || late.got.Load() {
			t.Errorf("large %t, small %t", large.got.Load(), late.got.Load())
		}
		large.release()
		synctest.Wait()
		if !late.got.Load() {
			t.Error("not granted, though all bytes are free")
		}
	})
}

// TestCanceledRequestUnblocksOthers: a large request that is canceled does not block those behind it.
func TestCanceledRequestUnblocksOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := budget.NewPool(100)
		acquire(t, p, 60)
		large := acquire(t, p, 500) // is cut to the pool's size
		time.Sleep(budget.MaxBypass)
		small := acquire(t, p, 40)
		if large.got.Load() || small.got.Load() {
			t.Fatalf("large %t, small %t", large.got.Load(), small.got.Load())
		}
		large.cancel()
		synctest.Wait()
		if large.got.Load() || !small.got.Load() {
			t.Errorf("large %t, small %t", large.got.Load(), small.got.Load())
		}
	})
}

// TestPoolIsNeverOverdrawn: many concurrent requests of all sizes, some of which time out.
func TestPoolIsNeverOverdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 100
		p := budget.NewPool(size)
		var held atomic.Int64
		var all sync.WaitGroup
		random := rand.New(rand.NewPCG(1, 2))
		for range 500 {
			n := 1 + random.Int64N(size)
			timeout := time.Duration(random.Int64N(int64(20 * time.Minute)))
			work := time.Duration(random.Int64N(int64(2 * time.Second)))
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), timeout)
				defer cancel()
				release, err := p.Acquire(ctx, n)
				if err != nil {
					return
				}
				if now := held.Add(n); now > size {
					t.Errorf("%d of %d bytes are granted", now, size)
				}
				time.Sleep(work)
				held.Add(-n)
				release()
			})
		}
		all.Wait()
		if _, ok := p.TryAcquire(size); !ok {
			t.Error("not all bytes were released")
		}
	})
}
