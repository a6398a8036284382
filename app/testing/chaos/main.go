// Command chaos injects faults into a running service and checks that no accepted photo is lost. For each backend it
// kills a process at each failpoint, in each role that passes it, kills all processes at once, and purges the queue.
// Each scenario starts a fleet, uploads photos before and after the fault, waits until all are final, and checks the
// stored state. It prints a Markdown table and exits with 1 if an invariant does not hold, or if there is no evidence
// that the fault took effect.
//
// The AWS emulators run in this process. They must not be linked into the product, so chaos is a program of its own.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// size holds the parameters that differ between a short and a long run.
type size struct {
	seconds    time.Duration // duration of uploads: half of it before the fault, half after it
	parallel   int           // rows that run at the same time
	nth        int           // a process dies when it passes its failpoint for the nth time
	width      int           // of photos, in pixels
	visibility time.Duration // timeout of messages
	resend     time.Duration // age at which the hint of an unfinished image is sent again
}

// full uses the timeouts that role local has by default; short waits less.
var (
	short = size{10 * time.Second, 8, 3, 160, 3 * time.Second, 4 * time.Second}
	full  = size{20 * time.Second, 3, 10, 800, 10 * time.Second, 15 * time.Second}
)

// setup is shared by all rows.
type setup struct {
	size
	exe    string   // the binary under test
	photos [][]byte // uploaded in turn
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 0 all invariants hold, 1 they do not, 2 bad usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	fs.SetOutput(stderr)
	backend := fs.String("backend", "all", "local, aws or all")
	point := fs.String("point", "", "only the rows of this `point`, one of "+strings.Join(points(), ", "))
	seconds := fs.Int("seconds", 0, "`seconds` of uploads around each fault (default 10, with -long 20)")
	docs := fs.String("docs", "", "also write the tables to this `file`, docs/failures.md")
	logs := fs.String("log", "", "`file` with the output of the other measurements for -docs; scripts/failures writes it")
	long := fs.Bool("long", false, "larger photos, later faults, and the default timeouts of role local")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	rows, err := plan(*backend, *point)
	if err == nil && (fs.NArg() > 0 || *seconds < 0) {
		err = errors.New("unexpected argument, or -seconds is negative; chaos -h lists the flags")
	}
	var measured string
	if err == nil && *docs != "" {
		measured, err = readLogs(*logs, *backend, *point)
	}
	if err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
		return 2
	}
	s := short
	if *long {
		s = full
	}
	if *seconds > 0 {
		s.seconds = time.Duration(*seconds) * time.Second
	}
	began := time.Now()
	if err := runAll(ctx, rows, s, stderr); err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
		return 1
	}
	printTable(stdout, rows)
	broken := printProblems(stdout, rows)
	fmt.Fprintf(stdout, "\n%d rows in %s, %d with problems.\n", len(rows), time.Since(began).Round(time.Second), broken)
	if broken > 0 {
		return 1
	}
	if *docs != "" {
		if err := writePage(*docs, rows, s, measured); err != nil {
			fmt.Fprintln(stderr, "chaos:", err)
			return 1
		}
	}
	return 0
}

// plan returns the rows that the flags select, in the order of the table.
func plan(backend, point string) (rows []*row, err error) {
	backends := []string{onLocal, onAWS}
	switch backend {
	case "all":
	case onLocal, onAWS:
		backends = []string{backend}
	default:
		return nil, fmt.Errorf("-backend %q is not local, aws or all", backend)
	}
	for _, b := range backends {
		for _, a := range scenarios() {
			if point == "" || point == a.point {
				rows = append(rows, &row{backend: b, scenario: a})
			}
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("-point %q is none of %s", point, strings.Join(points(), ", "))
	}
	return rows, nil
}

// runAll builds the binary and runs the rows, several at once. Problems of a row are stored in the row; an error means
// that the rows could not run.
func runAll(ctx context.Context, rows []*row, s size, progress io.Writer) error {
	dir, err := os.MkdirTemp("", "chaos")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	exe := filepath.Join(dir, "imagery")
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", exe, "imagery/app").CombinedOutput(); err != nil {
		return fmt.Errorf("build the binary: %w\n%s", err, out)
	}
	common := setup{s, exe, photos(s.width)}
	var all sync.WaitGroup
	free := make(chan struct{}, s.parallel)
	for i, r := range rows {
		free <- struct{}{}
		all.Go(func() {
			defer func() { <-free }()
			r.run(ctx, common, filepath.Join(dir, fmt.Sprint(i)))
			fmt.Fprintf(progress, "%s, %s: %s\n", r.backend, r.scenario, r.outcome())
		})
	}
	all.Wait()
	return ctx.Err()
}
