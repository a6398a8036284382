package nspawn

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	elb "github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2/types"
)

// TestTheBalancerChangesWithoutALostRequest: HAProxy gets other checks while requests arrive, and a machine that is
// registered before, during or after it runs becomes healthy.
func TestTheBalancerChangesWithoutALostRequest(t *testing.T) {
	if _, err := exec.LookPath("haproxy"); err != nil {
		if os.Getenv("REQUIRE_ALL") == "1" {
			t.Fatal(err)
		}
		t.Skip("SKIPPED, REQUIRE_ALL=1 makes this a failure: ", err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close() // HAProxy takes the port
	port, targets := l.Addr().(*net.TCPAddr).Port, 0
	h := &Host{Options: Options{Dir: t.TempDir()}, bind: "127.0.0.1", machines: map[string]*machine{}}
	t.Cleanup(h.StopBalancer)
	add := func(id, address string) {
		t.Helper()
		s, err := net.Listen("tcp", fmt.Sprintf("%s:%d", address, targets))
		if err != nil {
			t.Fatal(err)
		}
		targets = s.Addr().(*net.TCPAddr).Port
		server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, id) })}
		go func() { _ = server.Serve(s) }() // until Close
		t.Cleanup(func() { server.Close() })
		h.mu.Lock()
		h.machines[id] = &machine{address: address}
		h.mu.Unlock()
	}
	check := Check{Path: "/", Interval: 100 * time.Millisecond, Timeout: time.Second, Healthy: 2, Unhealthy: 2}
	balance := func(path string) {
		t.Helper()
		c := check
		c.Path, c.Port = path, targets
		if err := h.Balance(port, c); err != nil {
			t.Fatal(err)
		}
	}
	healthy := func(id string) {
		t.Helper()
		for range 200 {
			if h.Health(id) == elb.TargetHealthStateEnumHealthy {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		t.Fatalf("%s is %s", id, h.Health(id))
	}
	add("a", "127.0.1.1")
	h.Register("a")
	if got := h.Health("a"); got != elb.TargetHealthStateEnumUnused {
		t.Errorf("without a load balancer a is %s", got)
	}
	balance("/1")
	healthy("a")

	var sent, failed atomic.Int32
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
		for {
			select {
			case <-stop:
				return
			default:
			}
			sent.Add(1)
			r, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
			if err != nil {
				failed.Add(1)
				continue
			}
			_, _ = io.Copy(io.Discard, r.Body)
			r.Body.Close()
			if r.StatusCode != http.StatusOK {
				failed.Add(1)
			}
		}
	}()
	add("b", "127.0.1.2")
	h.Register("b")
	for n := range 5 {
		balance(fmt.Sprintf("/%d", n))
		healthy("a")
	}
	healthy("b")
	h.Drain("a")
	balance("/drained")
	time.Sleep(300 * time.Millisecond) // of requests, which a must not get
	close(stop)
	<-stopped
	if failed.Load() > 0 || sent.Load() < 100 {
		t.Errorf("%d of %d requests failed", failed.Load(), sent.Load())
	}
	for range 20 {
		r, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port))
		if err != nil {
			t.Fatal(err)
		}
		if body, _ := io.ReadAll(r.Body); string(body) != "b" {
			t.Errorf("a draining target answers: %q, %s", body, r.Status)
		}
		r.Body.Close()
	}
	h.StopBalancer()
	if _, err := http.Get(fmt.Sprintf("http://127.0.0.1:%d/", port)); err == nil {
		t.Error("the load balancer answers after its end")
	}
}
