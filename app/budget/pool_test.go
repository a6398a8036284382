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

// claim is a request for bytes that may have to wait.
type claim struct {
	got     atomic.Bool
	release func()
	cancel  context.CancelFunc
}

// acquire asks in the background, and returns once the request is served or waits.
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

// TestSmallPassesWithoutDelay: who leaves room for the large request that waits may pass it at any time.
func TestSmallPassesWithoutDelay(t *testing.T) {
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
			t.Error("40 of 100 bytes have passed a request for 70")
		}
		second.release()
		synctest.Wait()
		if !third.got.Load() {
			t.Error("who passed and is gone counts no more")
		}
		running.release()
		synctest.Wait()
		if !large.got.Load() {
			t.Error("what was in front is done, and who passed left enough")
		}
	})
}

// TestSmallPassesForAWhile: who may delay the large request passes it as long as that one has patience.
func TestSmallPassesForAWhile(t *testing.T) {
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
			t.Error("a small request still delays a large one that has waited long enough")
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
			t.Error("everything is free")
		}
	})
}

// TestGivingUpLetsOthersIn: a large request that is withdrawn does not hold up those behind it.
func TestGivingUpLetsOthersIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := budget.NewPool(100)
		acquire(t, p, 60)
		large := acquire(t, p, 500) // as much as there is
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

// TestPoolIsNeverOverdrawn: many at once, of all sizes, some of which give up; nobody is forgotten.
func TestPoolIsNeverOverdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size = 100
		p := budget.NewPool(size)
		var held atomic.Int64
		var all sync.WaitGroup
		random := rand.New(rand.NewPCG(1, 2))
		for range 500 {
			n, patience, takes := 1+random.Int64N(size), time.Duration(random.Int64N(int64(20*time.Minute))), time.Duration(random.Int64N(int64(2*time.Second)))
			all.Go(func() {
				ctx, cancel := context.WithTimeout(context.Background(), patience)
				defer cancel()
				release, err := p.Acquire(ctx, n)
				if err != nil {
					return
				}
				if now := held.Add(n); now > size {
					t.Errorf("%d of %d bytes are handed out", now, size)
				}
				time.Sleep(takes)
				held.Add(-n)
				release()
			})
		}
		all.Wait()
		if _, ok := p.TryAcquire(size); !ok {
			t.Error("bytes were lost")
		}
	})
}
