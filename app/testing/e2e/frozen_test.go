package e2e

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	_ "modernc.org/sqlite"

	"imagery/app/imagery"
)

// TestFrozenServerWithTheLock stops a server of a local fleet while it holds the write lock of the table, so that no
// process can write. The fleet must kill this server, and no other process, after 10 s; then images can be created
// again.
func TestFrozenServerWithTheLock(t *testing.T) {
	p := start(t, t.TempDir(), nil)
	c := newClient(t, p.url)
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	c.ready(ctx, p)
	before, frozen, took := p.recoverFromFrozenServer(ctx, c)
	t.Logf("recovered: a server froze with the write lock, images were created again after %.1f s", took.Seconds())
	if took < 9*time.Second {
		t.Errorf("killed after %s: it may only have been slow", took)
	}
	after := p.children(t)
	for _, child := range before {
		if lives := slices.Contains(after, child); lives != (child != frozen) {
			t.Errorf("%+v lives: %t, frozen was %+v", child, lives, frozen)
		}
	}
	if err := c.upload(ctx, imagery.NewID(), photo{"jpeg", encodeJPEG(t, scene(1, 400, 300)), "processed"}); err != nil {
		t.Fatal(err)
	}
	c.checkUploads(ctx, time.Minute)
	p.stop(t)
	checkInvariants(t, p.data)
}

// recoverFromFrozenServer stops a server that holds the write lock and waits until images can be created again. If the
// stopped server still runs then, another process held the lock on a slow machine, and the test starts again.
func (p *program) recoverFromFrozenServer(ctx context.Context, c *client) (before []child, frozen child,
	took time.Duration) {
	c.t.Helper()
	for {
		frozen, froze := p.freezeWithLock(ctx, c)
		before := p.children(c.t)
		for tryCreate(ctx, c) != http.StatusCreated {
			if ctx.Err() != nil {
				c.t.Fatal("no image can be created")
			}
			time.Sleep(50 * time.Millisecond)
		}
		if took = time.Since(froze); !slices.Contains(p.children(c.t), frozen) {
			return before, frozen, took
		}
		c.t.Log("the server that was stopped did not hold the lock")
		if err := syscall.Kill(frozen.pid, syscall.SIGCONT); err != nil {
			c.t.Fatal(err)
		}
	}
}

// freezeWithLock sends SIGSTOP to a server under load, and repeats that until a transaction shows that the stopped
// server holds the write lock.
func (p *program) freezeWithLock(ctx context.Context, c *client) (frozen child, at time.Time) {
	c.t.Helper()
	db := p.table(c.t)
	for tries := 1; ctx.Err() == nil; tries++ {
		all := p.children(c.t)
		i := slices.IndexFunc(all, func(c child) bool { return c.role == "server" })
		if len(all) < 4 || i < 0 {
			time.Sleep(50 * time.Millisecond)
			continue // they still start
		}
		load, over := context.WithCancel(ctx)
		var clients sync.WaitGroup
		for range 6 {
			clients.Go(func() {
				for load.Err() == nil {
					tryCreate(load, c)
				}
			})
		}
		// The first time is longer than a probe interval: a child that has never answered a probe counts as starting.
		time.Sleep(max(3*time.Second/time.Duration(tries*tries), 200*time.Millisecond))
		if err := syscall.Kill(all[i].pid, syscall.SIGSTOP); err != nil {
			c.t.Fatal(err)
		}
		at = time.Now()
		over()
		clients.Wait()
		if tx, err := db.BeginTx(ctx, nil); err != nil {
			c.t.Logf("stopped with the lock at the attempt %d: %v", tries, err)
			return all[i], at
		} else if err := errors.Join(tx.Rollback(), syscall.Kill(all[i].pid, syscall.SIGCONT)); err != nil {
			c.t.Fatal(err)
		}
	}
	c.t.Fatal("no server was stopped with the lock")
	return child{}, at
}

// table opens the table of the fleet. Its transactions take the write lock and give up after two seconds.
func (p *program) table(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.Join(p.data, "imagery.db"),
		RawQuery: "mode=rw&_txlock=immediate&_pragma=busy_timeout(2000)"}).String())
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(1)
	t.Cleanup(func() { db.Close() })
	return db
}

// tryCreate tries to create an image for some seconds and returns the status of the answer, or 0 without one.
func tryCreate(ctx context.Context, c *client) (status int) {
	ctx, cancel := context.WithTimeout(ctx, 8*time.Second)
	defer cancel()
	return c.status(ctx, http.MethodPost, "/image")
}
