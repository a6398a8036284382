package main

import (
	"context"
	"flag"
	"fmt"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/autoscaling/types"

	"imagery/app/admin/fsck"
	"imagery/app/deploy/settings"
	"imagery/app/imagery"
	"imagery/app/testing/fakeaws"
	"imagery/infra/testing/asgsim"
	"imagery/infra/testing/nspawn"
	"imagery/infra/testing/pulumitest"
	"imagery/infra/testing/traffic"
)

var factor = flag.Int("factor", 0,
	"divides every duration of hooks, health checks, drains, warm-ups, bakes and alarms of the machines; 0: 20, or 10 "+
		"with -all")

// rig is the rendered prod stack on machines: two servers, two workers, two zones, and an emulated AWS.
type rig struct {
	*testing.T
	host   *nspawn.Host
	sim    *asgsim.Simulator
	cloud  *fakeaws.Cloud
	stack  fakeaws.Stack
	load   *traffic.Load
	rights *rights
	dir    string
	good   []byte // the binary
	slow   []byte // the same, but bad under load; nil: it was not built

	options rigOptions
	names   []string                   // the mock cloud's, each before the emulator's
	guards  map[settings.Role][]string // names of alarms

	mu       sync.Mutex
	userData map[string]string // by version and role
	releases []string          // hashes, by version from 1 on
}

// emulator and control are the two endpoints of AWS: its stores and queues, and what the simulator plays.
const emulator, control = nspawn.Address + ":4566", nspawn.Address + ":4567"

// servers and workers are the names of the stack's groups.
const servers, workers = "imagery-test-server", "imagery-test-worker"

// rigOptions are the parameters of one stack of machines.
type rigOptions struct {
	factor int               // of the simulator and the balancer
	retry  time.Duration     // how long a boot waits for rights
	cpu    float64           // of one core, for each machine; 0: no bound
	files  map[string]string // put into every machine
}

// newRig makes network, emulators and an empty stack. The environment is that of scripts/boot-test.
func newRig(t *testing.T, o rigOptions) *rig {
	t.Helper()
	root, binary := os.Getenv("IMAGERY_MACHINE_ROOT"), os.Getenv("IMAGERY_MACHINE_BINARY")
	if root == "" || binary == "" {
		t.Skip("real machines are started by scripts/boot-test, which is a check of its own")
	}
	r := &rig{T: t, dir: t.TempDir(), userData: map[string]string{}, options: o}
	var err error
	if r.good, err = os.ReadFile(binary); err != nil {
		t.Fatal(err)
	}
	if path := os.Getenv("IMAGERY_MACHINE_SLOW"); path != "" {
		if r.slow, err = os.ReadFile(path); err != nil {
			t.Fatal(err)
		}
	}
	g, _ := r.render(r.good)
	target := g.Of("lb/targetGroup:TargetGroup")[0]
	seconds := func(path string) time.Duration {
		return time.Duration(target.Number(path)*float64(time.Second)) / time.Duration(o.factor)
	}
	r.host, err = nspawn.New(nspawn.Options{Dir: r.dir, Root: root, Zones: []string{"eu-central-1a", "eu-central-1b"},
		Check: nspawn.Check{Path: target.Text("healthCheck.path"), Interval: seconds("healthCheck.interval"),
			Timeout:   seconds("healthCheck.timeout"),
			Healthy:   int(target.Number("healthCheck.healthyThreshold")),
			Unhealthy: int(target.Number("healthCheck.unhealthyThreshold")), Port: int(target.Number("port"))},
		UserData:    r.userDataOf,
		Log:         r.logf,
		Role:        func(group string) string { return group[strings.LastIndex(group, "-")+1:] },
		Environment: []string{"AWS_ENDPOINT_URL=http://" + emulator, "AWS_ENDPOINT_URL_AUTO_SCALING=http://" + control},
		CPU:         o.cpu,
		Files:       o.files,
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.host.Close)
	r.cloud = fakeaws.New()
	t.Cleanup(r.cloud.Close)
	limits := imagery.Limits{
		Visibility: settings.QueueVisibility / time.Duration(o.factor), MaxReceives: settings.QueueMaxReceives,
	}
	if r.stack, err = r.cloud.NewStack(t.Context(), "imagery", limits); err != nil {
		t.Fatal(err)
	}
	table, queue, dead := g.Of("Table")[0], g.One("Queue", "-queue"), g.One("Queue", "-dead-letters")
	r.names = []string{
		pulumitest.Mark(table.Type, table.Name, "name"), r.stack.Table, g.One("BucketV2", "-images").ID, r.stack.Bucket,
		g.One("BucketV2", "-releases").ID, "releases",
		pulumitest.Mark(queue.Type, queue.Name, "url"), r.stack.QueueURL, pulumitest.Mark(dead.Type, dead.Name, "url"),
		r.stack.DLQURL,
	}
	for n := 0; n < len(r.names); n += 2 {
		r.logf("user-data: %s is %s; every other byte is as rendered", r.names[n], r.names[n+1])
	}
	r.must(r.cloud.NewBucket(t.Context(), "releases"))
	r.publish(r.good, r.good)
	r.sim = asgsim.New(asgsim.Options{Driver: r.host, Factor: o.factor, Log: r.logf})
	t.Cleanup(r.sim.Close)
	r.host.Simulator = r.sim
	r.rights = r.newRights(g)
	r.cloud.Proxy.Inject(r.rights.fault)
	r.listen(emulator, r.cloud.Proxy)
	r.listen(control, r.rights.guard(r.sim.Handler()))
	r.load = &traffic.Load{Address: nspawn.Address + ":80", NewID: imagery.NewID, Photo: photo(t)}
	r.judge(g)
	r.tellTemplates()
	for _, role := range roles {
		r.sim.Create(groupOf(g, role, target))
	}
	return r
}

var begun = time.Now()

func (r *rig) logf(format string, args ...any) {
	fmt.Printf("%6.1f s  %s\n", time.Since(begun).Seconds(), fmt.Sprintf(format, args...))
}

func (r *rig) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

func (r *rig) listen(address string, h http.Handler) {
	l, err := net.Listen("tcp", address)
	r.must(err)
	server := &http.Server{Handler: h}
	go func() { _ = server.Serve(l) }() // until it is closed
	r.Cleanup(func() { server.Close() })
}

// groupOf reads what the program told Auto Scaling.
func groupOf(g *pulumitest.Graph, role string, target *pulumitest.Resource) asgsim.Group {
	of := g.One(asg, "-"+role)
	s := func(path string) time.Duration { return time.Duration(of.Number(path)) * time.Second }
	out := asgsim.Group{Name: of.Text("name"), Min: int(of.Number("minSize")), Max: int(of.Number("maxSize")),
		Template: "lt-" + role, Version: "1",
		Zones: []string{"eu-central-1a", "eu-central-1b"}, ELB: of.Text("healthCheckType") == "ELB",
		Grace: s("healthCheckGracePeriod"), Warmup: s("defaultInstanceWarmup"),
		MinHealthy: int(of.Number("instanceMaintenancePolicy.minHealthyPercentage")),
		MaxHealthy: int(of.Number("instanceMaintenancePolicy.maxHealthyPercentage"))}
	if out.ELB {
		out.TargetGroup, out.DrainDelay = "targets", time.Duration(target.Number("deregistrationDelay"))*time.Second
	}
	for n := range of.Get("initialLifecycleHooks").([]any) {
		at := "initialLifecycleHooks." + strconv.Itoa(n) + "."
		out.Hooks = append(out.Hooks, asgsim.Hook{Name: of.Text(at + "name"), Transition: of.Text(at + "lifecycleTransition"),
			DefaultResult: of.Text(at + "defaultResult"), Timeout: s(at + "heartbeatTimeout")})
	}
	return out
}

// in lists a group's instances in service, of a version if one is given.
func (r *rig) in(group, version string) []asgsim.Instance {
	_, all, err := r.sim.Snapshot(group)
	if err != nil {
		panic(err)
	}
	return slices.DeleteFunc(all, func(i asgsim.Instance) bool {
		return i.State != types.LifecycleStateInService || !i.Healthy || version != "" && i.Version != version ||
			group == servers && i.Target != "healthy"
	})
}

// eventTimeout bounds the wait for an event, on a slow and busy machine.
const eventTimeout = 3 * time.Minute

// until polls for an event and returns how long that took. It fails after eventTimeout.
func (r *rig) until(what string, ok func() bool) time.Duration {
	r.Helper()
	from := time.Now()
	if !eventually(ok) {
		for _, g := range []string{servers, workers} {
			_, now, _ := r.sim.Snapshot(g)
			r.Logf("%s: %+v", g, now)
			if acts := slices.DeleteFunc(r.sim.Activities(g),
				func(a asgsim.Activity) bool { return a.StatusCode != "Cancelled" }); len(acts) > 0 {
				console := r.host.Console(acts[0].Instance)
				r.Logf("the last words of %s:\n%s", acts[0].Instance, console[max(0, strings.Index(console, "imagery boot: ask")):])
			}
		}
		r.Fatalf("not within %s: %s", eventTimeout, what)
	}
	return time.Since(from)
}

// eventually polls for an event and returns false after eventTimeout.
func eventually(ok func() bool) bool {
	for end := time.Now().Add(eventTimeout); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

func (r *rig) full() {
	r.Helper()
	r.until("two servers and two workers in service",
		func() bool { return len(r.in(servers, "")) == 2 && len(r.in(workers, "")) == 2 })
}

func (r *rig) change(group string, c asgsim.Change) {
	r.Helper()
	r.must(r.sim.Update(group, c))
}

// nothingLost waits until every photo that was accepted has its result, and checks what is stored.
func (r *rig) nothingLost(ids []string) {
	r.Helper()
	left := len(ids)
	took := r.until("every accepted photo is processed", func() bool {
		s, err := fsck.AWS(context.Background(), r.cloud.DynamoDB(), r.cloud.S3(), r.stack.Table, r.stack.Bucket, false)
		if err != nil {
			return false
		}
		left = len(ids)
		for _, i := range s.Items {
			if i.State == string(imagery.Processed) && slices.Contains(ids, i.ID) {
				left--
			}
		}
		return left == 0
	})
	r.logf("%d photos were accepted, 0 lost; the last one was done %.1f s after the load", len(ids), took.Seconds())
}
