// Command bench measures the filter side by side with sharp and other programs, or the whole service under load. It
// prints Markdown tables, writes them to docs/speed.md, and writes all raw numbers to dist/bench. scripts/bench starts
// it.
//
// The AWS emulators run in this process. They must not be linked into the product, so bench is a program of its own.
// Go benchmarks with benchstat would not do: the programs run in turns, so that a machine that becomes slower meanwhile
// changes both sides alike, and most of them are not written in Go.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

const usage = `usage: scripts/bench [pipeline|service] [--quick] [--photos DIR] [--out FILE]

pipeline (the default) needs node, npm and taskset, and measures GraphicsMagick and ImageMagick if they are there:
apt-get install graphicsmagick imagemagick. service needs nothing but Go.

`

// options are the options of the command line.
type options struct {
	service bool
	quick   bool
	photos  string // folder
	out     string // document; empty for none
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit code: 0 success, 1 failure, 2 bad usage.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	o, err := parse(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	} else if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 2
	}
	dir, err := os.MkdirTemp("", "imagery-bench")
	if err == nil {
		defer os.RemoveAll(dir)
		err = measure(ctx, o, dir, stdout, stderr)
	}
	if err != nil {
		fmt.Fprintln(stderr, "bench:", err)
		return 1
	}
	return 0
}

// parse reads the flags, which may stand before and after the command.
func parse(args []string, stderr io.Writer) (o options, err error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprint(stderr, usage); fs.PrintDefaults() }
	fs.BoolVar(&o.quick, "quick", false, "run less than a minute, to try it; writes no document")
	fs.StringVar(&o.photos, "photos", "", "`folder` with photos: its largest JPEG is used instead of a drawn picture")
	fs.StringVar(&o.out, "out", "docs/speed.md", "`document` to write the section to; empty for none")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	command := "pipeline"
	if fs.NArg() > 0 {
		command = fs.Arg(0)
		if err := fs.Parse(fs.Args()[1:]); err != nil {
			return o, err
		}
	}
	if fs.NArg() > 0 || command != "pipeline" && command != "service" {
		return o, fmt.Errorf("unexpected argument %q; scripts/bench -h explains the arguments",
			append([]string{command}, fs.Args()...)[fs.NArg()])
	}
	o.service = command == "service"
	if o.quick {
		o.out = ""
	}
	return o, nil
}

// measure runs one of the two benchmarks, prints the results and writes them to the files.
func measure(ctx context.Context, o options, dir string, stdout, progress io.Writer) error {
	var text bytes.Buffer
	section, raw, err := "pipeline", any(nil), error(nil)
	if o.service {
		section = "service"
		raw, err = measureAndPrint(&text, printService, func() (serviceResults, error) {
			return measureService(ctx, choose(o.quick, quickService, thoroughService), dir, progress)
		})
	} else {
		raw, err = measureAndPrint(&text, printPipeline, func() (pipelineResults, error) {
			return measurePipeline(ctx, choose(o.quick, quick, thorough), o.photos, dir, progress)
		})
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%s", text.Bytes())
	rawFile := filepath.Join("dist", "bench", section+time.Now().UTC().Format("-20060102-150405")+".json")
	if err := publish(o.out, section, text.Bytes(), raw, rawFile); err != nil {
		return err
	}
	fmt.Fprintln(progress, "all numbers are in", rawFile)
	return nil
}

// measureAndPrint measures, prints the results and returns them.
func measureAndPrint[F any](w io.Writer, print func(io.Writer, F), measure func() (F, error)) (any, error) {
	f, err := measure()
	if err == nil {
		print(w, f)
	}
	return f, err
}

func choose[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
