package budget_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"imagery/app/budget"
)

// leaseEnv makes the test binary acquire a lease at that address and keep it until it is killed.
const leaseEnv = "BUDGET_TEST_LEASE"

func TestMain(m *testing.M) {
	if address := os.Getenv(leaseEnv); address != "" {
		l, err := budget.Dial(address, "photos", nil)
		if err == nil {
			_, err = l.Acquire(context.Background(), 60)
		}
		fmt.Println("acquired", err)
		select {}
	}
	os.Exit(m.Run())
}

func broker(t *testing.T) (*budget.Broker, *budget.Leases) {
	t.Helper()
	b, err := budget.NewBroker(map[string]int64{"photos": 100, "uploads": 10})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Serve(func(err error) { t.Error(err) })
	}()
	t.Cleanup(func() {
		b.Close()
		<-done
	})
	return b, pool(t, b.Address(), "photos", nil)
}

func pool(t *testing.T, address, name string, changed func(int64)) *budget.Leases {
	t.Helper()
	l, err := budget.Dial(address, name, changed)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// eventually polls until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never happened: ", what)
		}
	}
}

func TestLeases(t *testing.T) {
	b, photos := broker(t)
	var leased atomic.Int64
	counted := pool(t, b.Address(), "photos", func(delta int64) { leased.Add(delta) })
	first, err := counted.Acquire(t.Context(), 60)
	if err != nil || leased.Load() != 60 {
		t.Fatal(leased.Load(), err)
	}
	if _, ok := photos.TryAcquire(50); ok {
		t.Error("110 of 100 bytes were leased")
	}
	if release, ok := pool(t, b.Address(), "uploads", nil).TryAcquire(10); !ok {
		t.Error("bytes of another pool were counted")
	} else {
		release()
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := photos.Acquire(ctx, 50); err == nil {
		t.Error("leased bytes that are not free")
	}
	second := make(chan func(), 1)
	go func() {
		release, err := photos.Acquire(t.Context(), 50)
		if err != nil {
			t.Error(err)
		}
		second <- release
	}()
	first()
	if leased.Load() != 0 {
		t.Errorf("%d bytes are leased after release", leased.Load())
	}
	(<-second)()
	eventually(t, "all bytes are free", func() bool {
		release, ok := photos.TryAcquire(100)
		if ok {
			release()
		}
		return ok
	})
}

// TestKilledProcessReleasesLease: the lease of a process that is killed is released.
func TestKilledProcessReleasesLease(t *testing.T) {
	b, photos := broker(t)
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), leaseEnv+"="+b.Address())
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "acquired <nil>\n" {
		t.Fatal(line, err)
	}
	if _, ok := photos.TryAcquire(100); ok {
		t.Fatal("bytes leased by a running process were leased again")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	release, err := photos.Acquire(t.Context(), 100)
	if err != nil {
		t.Fatal(err)
	}
	release()
}

func TestLeaseNeedsToken(t *testing.T) {
	b, _ := broker(t)
	host, _, _ := strings.Cut(b.Address(), "/")
	for _, address := range []string{host + "/", host + "/guess"} {
		if _, ok := pool(t, address, "photos", nil).TryAcquire(1); ok {
			t.Errorf("leased at %s", address)
		}
	}
	if _, ok := pool(t, b.Address(), "nothing", nil).TryAcquire(1); ok {
		t.Error("leased from an unknown pool")
	}
	if _, err := budget.Dial("127.0.0.1:1", "photos", nil); err == nil {
		t.Error("an address without a token")
	}
	b.Close()
	if _, err := pool(t, b.Address(), "photos", nil).Acquire(t.Context(), 1); err == nil {
		t.Error("leased from a closed broker")
	}
}
