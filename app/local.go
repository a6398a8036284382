package main

import (
	"cmp"
	"context"
	"encoding/json"
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

	"imagery/app/client"
	"imagery/app/deploy/settings"
	"imagery/app/fleet"
	"imagery/app/fleet/panel"
	"imagery/app/httpserver"
	"imagery/app/imagery"
	"imagery/app/observe"
	"imagery/app/store/local"
	"imagery/app/worker"
)

// runLocal runs the local fleet until ctx ends. A closed kill ends a slow shutdown.
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
	text := observe.TextLog(s.Log, stderr)
	if text && observe.IsTerminal(stdout) {
		greet(stdout, l, s)
	}
	own := stderr
	if text {
		own = prefixed{stderr, "fleet | "}
	}
	log := observe.NewLogger(own, s.Log, observe.Identity{Stack: s.Stack, Role: string(s.Role), Instance: "fleet"})
	if l.Addr().(*net.TCPAddr).IP.IsUnspecified() {
		log.Warn("the fleet listens on all interfaces: any machine that can reach this one may upload photos")
	}
	connections, env, err := shareMemory(&s, log)
	if err != nil {
		return err
	}
	if text {
		s.Log = settings.LogText // the children write to pipes
	}
	if observe.Colour(stderr) {
		env = append(env, observe.ForceColour+"=1")
	}
	var children []fleet.Child
	for _, group := range []struct {
		role settings.Role
		n    int
	}{{settings.Server, settings.LocalServers}, {settings.Worker, settings.LocalWorkers}} {
		for i := range group.n {
			c := s
			c.Role, c.Listen, c.Instance = group.role, "127.0.0.1:0", fmt.Sprintf("%s-%d", group.role, i+1)
			children = append(children, fleet.Child{Name: c.Instance, Server: group.role == settings.Server,
				Env: append(c.Env(), env...)})
		}
	}
	o := fleet.Options{Exe: exe, Children: children, Connections: connections,
		Log: log, Stdout: stdout, Stderr: stderr, Kill: kill}
	if s.OnAWS() {
		return fleet.New(o).Run(ctx, l)
	}
	return runWithPanel(ctx, l, o, s)
}

// prefixed writes each line of the fleet's own log behind a name, like the lines of its children.
type prefixed struct {
	io.Writer
	prefix string
}

// Unwrap returns the underlying writer, by which the log recognizes a terminal.
func (p prefixed) Unwrap() io.Writer { return p.Writer }

func (p prefixed) Write(line []byte) (int, error) {
	if _, err := p.Writer.Write(append([]byte(p.prefix), line...)); err != nil {
		return 0, err
	}
	return len(line), nil
}

// greet tells a person at a terminal what runs and how to use and stop it.
func greet(w io.Writer, l net.Listener, s settings.Settings) {
	fmt.Fprintf(w, "\nImagery is running: %d servers and %d workers behind a load balancer on this machine.\n\n",
		settings.LocalServers, settings.LocalWorkers)
	fmt.Fprintf(w, "  Photos     %s\n", urlOf(l))
	if s.OnAWS() {
		fmt.Fprintf(w, "  AWS        table %s, bucket %s\n", s.Table, s.Bucket)
	} else {
		fmt.Fprintf(w, "  Processes  %s%s\n", urlOf(l), panel.Prefix)
		fmt.Fprintf(w, "  Data       %s\n", s.Data)
	}
	fmt.Fprint(w, "\nPress Ctrl-C to stop, twice to stop at once.\n\n")
}

// shareMemory plans the memory of the fleet. It changes the settings of the children and returns variables for them,
// and the connection limit of the balancer. If a memory budget per process is set, the processes share no memory.
func shareMemory(s *settings.Settings, log *slog.Logger) (connections int, env []string, err error) {
	cores := runtime.GOMAXPROCS(0)
	if s.Memory != 0 {
		available := settings.PlanWorker(cores, s.Memory, s.MaxPixels).Photos
		s.PhotoMemory = min(cmp.Or(s.PhotoMemory, available), available)
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
	balancer := settings.LocalBase + int64(connections-httpserver.MinConnections)*httpserver.MemoryPerConnection
	debug.SetMemoryLimit(min(slack+balancer, debug.SetMemoryLimit(-1)))
	return connections, []string{pools}, nil
}

// runWithPanel runs a fleet over a data folder, with the status page.
func runWithPanel(ctx context.Context, l net.Listener, o fleet.Options, s settings.Settings) error {
	store, err := openFolder(s, o.Log)
	if err != nil {
		return err
	}
	defer store.Close()
	data, err := filepath.Abs(s.Data)
	if err != nil {
		return fmt.Errorf("find the data folder: %w", err)
	}
	var f *fleet.Fleet
	p := panel.New(panel.Options{
		Data:      data,
		Processes: func(ctx context.Context) []panel.Process { return processes(ctx, f.Snapshot()) },
		Queue:     func(ctx context.Context) (panel.Queue, error) { return queueOf(ctx, store) },
		Kill:      func(name string) error { return f.Kill(name) },
	})
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

// processes combines the state of the children in the fleet with what each of them reports over HTTP.
func processes(ctx context.Context, all []fleet.Status) []panel.Process {
	var list []panel.Process
	for _, s := range all {
		p := panel.Process{Name: s.Name, Role: string(s.Role), PID: s.PID, Restarts: s.Restarts, Ready: s.Ready,
			Done: s.Served, InFlight: s.InFlight}
		if s.PID != 0 {
			p.Uptime = int64(time.Since(s.Started).Seconds())
		}
		if s.Address != "" {
			p.Release = strings.TrimSpace(string(fetch(ctx, s.Address, "/version")))
		}
		if s.Role == settings.Worker && s.Address != "" {
			var jobs worker.Stats
			if json.Unmarshal(fetch(ctx, s.Address, "/stats"), &jobs) == nil {
				p.Done, p.InFlight = jobs.Done, int(jobs.Running)
			}
		}
		list = append(list, p)
	}
	return list
}

// fetchTimeout is short, so that one child that hangs does not delay the whole page.
const fetchTimeout = 500 * time.Millisecond

// fetch returns the body of the response of a child, nil if it does not answer.
func fetch(ctx context.Context, address, path string) []byte {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	child := client.New("http://" + address)
	child.MaxBody = 4 << 10
	res, err := child.Do(ctx, http.MethodGet, path, nil, nil)
	if err != nil {
		return nil
	}
	return res.Body
}

// queueOf returns the counts of the queue and the age of the oldest unfinished image.
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

// deadLetterPause is the interval at which the number of dead letters is checked.
const deadLetterPause = 2 * time.Second

// alarmOnDeadLetters logs an error when the number of dead letters has grown, like the alarm on AWS, and once when the
// queue cannot be read.
func alarmOnDeadLetters(ctx context.Context, store *local.Store, log *slog.Logger) {
	tick := time.NewTicker(deadLetterPause)
	defer tick.Stop()
	failing := false
	for known := 0; ; {
		_, _, dead, err := store.Depth(ctx)
		switch {
		case err == nil && dead > known:
			log.Error("ALARM: new dead letters. Open "+panel.Prefix+" or run: imagery dlq ls", "dead_letters", dead)
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
