package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/fleet"
	"imagery/app/fleet/panel"
	"imagery/app/httpserver"
	"imagery/app/imagery"
	"imagery/app/observe"
	"imagery/app/store/local"
	"imagery/app/worker"
)

// The local fleet: two of each, so that any one may die.
const (
	localServers = settings.LocalServers
	localWorkers = settings.LocalWorkers
)

func runLocal(ctx context.Context, kill <-chan struct{}, s settings.Settings, stdout, stderr io.Writer) error {
	exe, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find the running binary: %w", err)
	}
	if _, err := failpoints(s); err != nil {
		return err
	}
	if !s.OnAWS() {
		if err := prepareData(s); err != nil { // once, before the children open it at the same time
			return err
		}
	}
	l, err := listen(s, stdout)
	if err != nil {
		return err
	}
	log := observe.NewLogger(stderr, observe.Identity{Stack: s.Stack, Role: string(s.Role), Instance: "fleet"})
	if a, ok := l.Addr().(*net.TCPAddr); ok && a.IP.IsUnspecified() {
		log.Warn("the fleet listens on all interfaces: any machine that reaches this one may upload photos")
	}
	connections, pools, err := shareMemory(&s, log)
	if err != nil {
		return err
	}
	var children []fleet.Child
	for _, group := range []struct {
		role settings.Role
		n    int
	}{{settings.Server, localServers}, {settings.Worker, localWorkers}} {
		for i := range group.n {
			c := s
			c.Role, c.Listen, c.Instance = group.role, "127.0.0.1:0", fmt.Sprintf("%s-%d", group.role, i+1)
			env := append(c.Env(), pools...)
			if observe.IsTerminal(stderr) {
				env = append(env, observe.PrettyEnv+"=1")
			}
			children = append(children, fleet.Child{Name: c.Instance, Server: group.role == settings.Server, Env: env})
		}
	}
	o := fleet.Options{Exe: exe, Children: children, Connections: connections,
		Log: log, Stdout: stdout, Stderr: stderr, Kill: kill}
	if s.OnAWS() {
		return fleet.New(o).Run(ctx, l)
	}
	return runWithPanel(ctx, l, o, s)
}

// shareMemory plans the memory of the fleet, and says so to the children through the settings and the environment that
// it returns, beside the number of connections that the balancer may have. With a budget for each process, set by hand,
// they share none.
func shareMemory(s *settings.Settings, log *slog.Logger) (connections int, env []string, err error) {
	cores := runtime.GOMAXPROCS(0)
	if s.Memory != 0 {
		most := settings.PlanWorker(cores, s.Memory, s.MaxPixels).Photos
		s.PhotoMemory = min(cmp.Or(s.PhotoMemory, most), most)
		return httpserver.Connections(s.Memory), nil, nil
	}
	bytes := measured()
	plan := settings.PlanLocal(cores, bytes, s.MaxPixels)
	s.PhotoMemory = min(cmp.Or(s.PhotoMemory, plan.Photos), plan.Photos)
	b, pools, err := openPools(plan, bytes)
	if err != nil {
		return 0, nil, err
	}
	go b.Serve(func(err error) { log.Warn("memory cannot be leased at the moment", "error", err) })
	connections = localConnections(bytes)
	balancer := settings.ProcessBase + int64(connections-httpserver.MinConnections)*httpserver.MemoryPerConnection
	debug.SetMemoryLimit(min(slack+balancer, debug.SetMemoryLimit(-1)))
	return connections, []string{pools}, nil
}

// runWithPanel runs a fleet over a data folder, with a page that shows it.
func runWithPanel(ctx context.Context, l net.Listener, o fleet.Options, s settings.Settings) error {
	store, err := local.Open(local.Options{Dir: s.Data, Visibility: s.Visibility, MaxReceives: s.MaxReceives, Log: o.Log})
	if err != nil {
		return fmt.Errorf("%w (%s)", err, settings.Named("data"))
	}
	defer store.Close()
	data, err := filepath.Abs(s.Data)
	if err != nil {
		return fmt.Errorf("find the data folder: %w", err)
	}
	var f *fleet.Fleet
	p, err := panel.New(panel.Options{
		Data:      data,
		Processes: func(ctx context.Context) []panel.Process { return processes(ctx, f.Snapshot()) },
		Queue:     func(ctx context.Context) (panel.Queue, error) { return queueOf(ctx, store) },
		Kill:      func(name string) error { return f.Kill(name) },
	})
	if err != nil {
		return err
	}
	o.Panel, o.PanelPath = p, panel.Prefix
	f = fleet.New(o)
	if withdraw, err := store.Announce(urlOf(l)); err != nil {
		o.Log.Warn("imagery status will not find this fleet", "error", err)
	} else {
		defer withdraw()
	}
	go alarmOnDeadLetters(ctx, store, o.Log)
	return f.Run(ctx, l)
}

// processes completes what the fleet knows of its children with what they say themselves.
func processes(ctx context.Context, all []fleet.Status) []panel.Process {
	var list []panel.Process
	for _, s := range all {
		p := panel.Process{Name: s.Name, Role: string(s.Role), PID: s.PID, Restarts: s.Restarts, Ready: s.Ready,
			Done: s.Served, InFlight: s.InFlight}
		if s.PID != 0 {
			p.Uptime = int64(time.Since(s.Started).Seconds())
		}
		if s.Address != "" {
			release, _ := fetch(ctx, s.Address, "/version") // one that does not answer shows no release
			p.Release = strings.TrimSpace(string(release))
		}
		if s.Role == settings.Worker && s.Address != "" {
			var jobs worker.Stats
			if data, err := fetch(ctx, s.Address, "/stats"); err == nil && json.Unmarshal(data, &jobs) == nil {
				p.Done, p.InFlight = jobs.Done, int(jobs.Running)
			}
		}
		list = append(list, p)
	}
	return list
}

// fetchBound keeps one child that hangs from hiding the others.
const fetchBound = 500 * time.Millisecond

func fetch(ctx context.Context, address, path string) (data []byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, fetchBound)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		return nil, err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, res.Body.Close()) }()
	return io.ReadAll(io.LimitReader(res.Body, 4<<10))
}

// queueOf is what waits in a data folder.
func queueOf(ctx context.Context, store *local.Store) (q panel.Queue, err error) {
	if q.Visible, q.InFlight, q.DeadLetters, err = store.Depth(ctx); err != nil {
		return q, err
	}
	now := time.Now()
	for _, shard := range imagery.Shards {
		list, _, err := store.Catalog().Pending(ctx, string(shard), time.Time{}, now, "", 1)
		if err != nil {
			return q, err
		}
		if len(list) > 0 {
			q.Oldest = max(q.Oldest, now.Sub(list[0].Updated).Seconds())
		}
	}
	return q, nil
}

// deadLetterPause is how soon the terminal shows a new dead letter.
const deadLetterPause = 2 * time.Second

// alarmOnDeadLetters logs when there are more dead letters than before, as an alarm does on AWS, and once when the
// queue cannot be read.
func alarmOnDeadLetters(ctx context.Context, store *local.Store, log *slog.Logger) {
	tick := time.NewTicker(deadLetterPause)
	defer tick.Stop()
	failing := false
	for known := 0; ; {
		_, _, dead, err := store.Depth(ctx)
		switch {
		case err == nil && dead > known:
			log.Error("ALARM: dead letters; their images say why. See "+panel.Prefix+", or type: imagery dlq ls",
				"letters", dead)
		case err != nil && !failing && ctx.Err() == nil:
			log.Error("the queue cannot be read", "error", err)
		}
		if failing = err != nil; !failing {
			known = dead
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
