package fleet

import (
	"bufio"
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// actAs makes the test binary run as a child or as a fleet.
const actAs = "FLEET_TEST_ACT_AS"

func TestMain(m *testing.M) {
	switch os.Getenv(actAs) {
	case "child":
		actAsChild()
	case "fleet":
		actAsFleet()
	default:
		os.Exit(m.Run())
	}
}

// drainDelay sets how long a stopping server accepts connections after /readyz has started to fail, so that the
// balancer notices before a connection is refused.
const drainDelay = 2 * probeEvery

// actAsChild runs a server or worker that misbehaves as its flags say.
func actAsChild() {
	name := flag.String("name", "", "")
	ignoreTerm := flag.Bool("ignore-term", false, "ignore SIGTERM")
	usage := flag.Bool("usage", false, "exit 2 before listening")
	fail := flag.Bool("fail", false, "exit 1 before listening")
	chatter := flag.Int("chatter", 0, "lines to write, in pieces, before listening")
	events := flag.String("events", "", "file to which the stop of this process is logged")
	flag.Parse()
	switch {
	case *usage:
		fmt.Fprintln(os.Stderr, "reading the settings")
		fmt.Fprintln(os.Stderr, "role \"cook\" is not known")
		os.Exit(2)
	case *fail:
		fmt.Fprintln(os.Stderr, "the table is missing")
		os.Exit(1)
	}
	var streams sync.WaitGroup
	for _, w := range []*os.File{os.Stdout, os.Stderr} {
		streams.Go(func() { chat(w, *chatter) })
	}
	streams.Wait()

	ctx := WatchParent(context.Background(), func() { os.Exit(1) })
	terms := make(chan os.Signal, 1)
	signal.Notify(terms, syscall.SIGTERM)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	var draining atomic.Bool
	web := &http.Server{Handler: routes(&draining)}
	fmt.Printf("pid %d\nlistening on http://%s\n", os.Getpid(), l.Addr())
	go web.Serve(l)
	for {
		select {
		case <-ctx.Done():
			time.Sleep(time.Minute) // WatchParent must end even a process that ignores its context
		case <-terms:
			if *ignoreTerm {
				continue
			}
		}
		note(*events, *name+" stops")
		draining.Store(true)
		time.Sleep(drainDelay)
		web.Shutdown(context.Background())
		note(*events, *name+" stopped")
		os.Exit(0)
	}
}

// chat writes n long lines in pieces. Each repeats one number, so a mixed line is detected.
func chat(w io.Writer, n int) {
	for i := range n {
		text := strings.Repeat(fmt.Sprintf("%08d", i), 1000)
		for len(text) > 0 {
			cut := min(len(text), 1+(i*7919)%3000)
			io.WriteString(w, text[:cut])
			text = text[cut:]
		}
		io.WriteString(w, ".\n")
	}
}

func note(file, line string) {
	if file == "" {
		return
	}
	f, err := os.OpenFile(file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		panic(err)
	}
	fmt.Fprintln(f, line)
	f.Close()
}

// routes returns the handler of a fake server.
func routes(draining *atomic.Bool) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/readyz", func(w http.ResponseWriter, r *http.Request) {
		if draining.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	})
	var burning atomic.Bool
	mux.HandleFunc("/healthz", func(_ http.ResponseWriter, r *http.Request) {
		if burning.Load() {
			<-r.Context().Done()
		}
	})
	mux.HandleFunc("/burn", func(http.ResponseWriter, *http.Request) {
		burning.Store(true)
		for range runtime.GOMAXPROCS(0) {
			go func() {
				for burning.Load() { // for ever
				}
			}()
		}
	})
	mux.HandleFunc("/pid", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, os.Getpid()) })
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		h := sha256.New()
		if _, err := io.Copy(h, r.Body); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		fmt.Fprintf(w, "%x", h.Sum(nil))
	})
	mux.HandleFunc("/slow", func(w http.ResponseWriter, r *http.Request) {
		d, _ := time.ParseDuration(r.URL.Query().Get("for"))
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		time.Sleep(d)
		fmt.Fprint(w, "done")
	})
	mux.HandleFunc("/panic", func(http.ResponseWriter, *http.Request) { os.Exit(2) })
	return mux
}

// actAsFleet runs a fleet like the real binary: the first signal stops it, the second one kills.
func actAsFleet() {
	var children []Child
	for _, name := range strings.Split(os.Getenv("FLEET_TEST_CHILDREN"), ",") {
		children = append(children, fake(name, strings.Fields(os.Getenv("FLEET_TEST_ARGS"))...))
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	fmt.Printf("listening on http://%s\n", l.Addr())
	ctx, cancel := context.WithCancel(context.Background())
	kill := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt)
	go func() {
		<-signals
		cancel()
		<-signals
		close(kill)
	}()
	err = New(Options{Exe: os.Args[0], Children: children, Stdout: os.Stdout, Stderr: os.Stderr, Kill: kill,
		Log: slog.New(slog.NewTextHandler(os.Stderr, nil))}).Run(ctx, l)
	if err != nil {
		fmt.Println("error:", err)
		os.Exit(1)
	}
}

// fake returns a child that runs the test binary with the given flags. Its name determines its role.
func fake(name string, args ...string) Child {
	return Child{Name: name, Server: strings.HasPrefix(name, "server"),
		Args: append([]string{"-name", name}, args...), Env: []string{actAs + "=child"}}
}

// eventually polls until the condition is true.
func eventually(t *testing.T, within time.Duration, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(within); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not within %s: %s", within, what)
		}
	}
}

// running is a fleet in the test process.
type running struct {
	*Fleet
	url  string
	out  *record
	stop func() error // ends Run and returns its error
	kill func()
	done chan error
}

func start(t *testing.T, grace time.Duration, children ...Child) *running {
	t.Helper()
	return startWatched(t, grace, nil, children...)
}

// startWatched starts a fleet with a changed watchdog.
func startWatched(t *testing.T, grace time.Duration, change func(*watchdog), children ...Child) *running {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	kill := make(chan struct{})
	r := &running{url: "http://" + l.Addr().String(), out: &record{}, done: make(chan error, 1)}
	r.kill = sync.OnceFunc(func() { close(kill) })
	r.Fleet = New(Options{Exe: os.Args[0], Children: children, Stdout: r.out, Stderr: r.out, Kill: kill, Grace: grace,
		Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if change != nil {
		change(r.watchdog)
	}
	go func() { r.done <- r.Run(ctx, l) }()
	r.stop = sync.OnceValue(func() error { cancel(); return <-r.done })
	t.Cleanup(func() { r.kill(); r.stop() })
	return r
}

func (r *running) allReady() bool {
	for _, s := range r.Snapshot() {
		if !s.Ready {
			return false
		}
	}
	return true
}

// get repeats a request until it succeeds, like a client of the service.
func (r *running) get(t *testing.T, path string) string {
	t.Helper()
	var last any
	for range 50 {
		res, err := http.Get(r.url + path)
		if err != nil {
			last = err
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err == nil && res.StatusCode == http.StatusOK {
			return string(body)
		}
		last = res.Status
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatalf("GET %s: %v", path, last)
	return ""
}

// firstLines reads the output of a fleet until every child listens.
func firstLines(out io.Reader, children int) (first string, pids []int) {
	s := bufio.NewScanner(out)
	for n := 0; n < children && s.Scan(); {
		_, text, _ := strings.Cut(s.Text(), " | ")
		var pid int
		if first == "" {
			first = s.Text()
		} else if _, ok := listeningOn(text); ok {
			n++
		} else if _, err := fmt.Sscanf(text, "pid %d", &pid); err == nil {
			pids = append(pids, pid)
		}
	}
	go io.Copy(io.Discard, out)
	return first, pids
}
