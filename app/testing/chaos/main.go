// Command chaos proves the promises by breaking a running service: for each backend, each commit point in each
// role that passes it, each kind of sudden death and a lost queue it starts a fleet, keeps uploading, lets the
// blow fall, lets everything heal, and checks what is stored. It prints a Markdown table and exits with 1 if a
// promise is broken, or if a blow cannot be proved to have fallen.
//
// AWS is played by emulators in this process, which is why chaos is a program of its own and no verb.
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

// size is what differs between a run for every change and a long one.
type size struct {
	seconds    time.Duration // of uploads: half of them before the blow, and half after it
	parallel   int           // rows at once
	nth        int           // the pass of a point at which a process dies
	width      int           // of photos
	visibility time.Duration // of messages
	resend     time.Duration // age at which an unfinished image gets its hint again
}

// The long run has the service's own defaults; the short one waits less.
var (
	short = size{10 * time.Second, 8, 3, 160, 3 * time.Second, 4 * time.Second}
	full  = size{20 * time.Second, 3, 10, 800, 10 * time.Second, 15 * time.Second}
)

// setup is what all rows share.
type setup struct {
	size
	exe    string   // the binary under test
	photos [][]byte // that are uploaded, in turn
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its exit code as a value: 0 all promises kept, 1 not, 2 bad usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	fs := flag.NewFlagSet("chaos", flag.ContinueOnError)
	fs.SetOutput(stderr)
	backend := fs.String("backend", "all", "local, aws or all")
	point := fs.String("point", "", "only the rows of this point (one of "+strings.Join(points(), ", ")+")")
	seconds := fs.Int("seconds", 0, "`seconds` of uploads around each blow (default 10, with -long 20)")
	docs := fs.String("docs", "", "write the tables of this `page`, docs/failures.md, too")
	logs := fs.String("log", "", "`file` with the output of what else is measured for that page (see scripts/failures)")
	long := fs.Bool("long", false, "larger photos, later blows, and the timeouts of the service's defaults")
	if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		return 2
	}
	rows, err := plan(*backend, *point)
	if err == nil && (fs.NArg() > 0 || *seconds < 0) {
		err = errors.New("unexpected argument, or negative seconds (see -h)")
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
	if err := playAll(ctx, rows, s, stderr); err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
		return 1
	}
	printTable(stdout, rows)
	broken := printProblems(stdout, rows)
	fmt.Fprintf(stdout, "\n%d rows in %s, %d with a broken promise.\n", len(rows), time.Since(began).Round(time.Second), broken)
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

// plan lists the rows that the flags ask for, in the order of the table.
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
		for _, a := range attacks() {
			if point == "" || point == a.point {
				rows = append(rows, &row{backend: b, attack: a})
			}
		}
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("-point %q is none of %s", point, strings.Join(points(), ", "))
	}
	return rows, nil
}

// playAll builds the binary and plays the rows, several at once. Its error says that nothing could be proved;
// what is wrong in a row stands in the row.
func playAll(ctx context.Context, rows []*row, s size, progress io.Writer) error {
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
			r.play(ctx, common, filepath.Join(dir, fmt.Sprint(i)))
			fmt.Fprintf(progress, "%s, %s: %s\n", r.backend, r.attack, r.outcome())
		})
	}
	all.Wait()
	return ctx.Err()
}
