// Command benchmark measures how fast the product is: the filter side by side with sharp and others, or the whole
// service. It prints Markdown tables, puts them into docs/speed.md, and keeps all raw numbers in dist/bench.
// scripts/bench starts it.
//
// AWS is played by emulators in this process, which is why it is a program of its own.
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

// options are what the command line says.
type options struct {
	service bool
	quick   bool
	photos  string // folder
	out     string // document; empty: none
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its exit code as a value: 0 measured, 1 not, 2 bad usage.
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

// parse takes the flags before and after the word.
func parse(args []string, stderr io.Writer) (o options, err error) {
	fs := flag.NewFlagSet("bench", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.Usage = func() { fmt.Fprint(stderr, usage); fs.PrintDefaults() }
	fs.BoolVar(&o.quick, "quick", false, "less than a minute, to see that it works; writes no document")
	fs.StringVar(&o.photos, "photos", "", "`folder` of real photos: its largest JPEG is measured; default: a picture that is drawn")
	fs.StringVar(&o.out, "out", "docs/speed.md", "`document` whose section is written; empty: none")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	word := "pipeline"
	if fs.NArg() > 0 {
		word = fs.Arg(0)
		if err := fs.Parse(fs.Args()[1:]); err != nil {
			return o, err
		}
	}
	if fs.NArg() > 0 || word != "pipeline" && word != "service" {
		return o, fmt.Errorf("unexpected argument %q (see -h)", append([]string{word}, fs.Args()...)[fs.NArg()])
	}
	o.service = word == "service"
	if o.quick {
		o.out = ""
	}
	return o, nil
}

// measure does one of the two, prints it and writes it down.
func measure(ctx context.Context, o options, dir string, stdout, progress io.Writer) error {
	var text bytes.Buffer
	section, raw, err := "pipeline", any(nil), error(nil)
	if o.service {
		section = "service"
		raw, err = measureAndPrint(&text, printService, func() (serviceFindings, error) {
			return measureService(ctx, choose(o.quick, quickSpan, thoroughSpan), dir, progress)
		})
	} else {
		raw, err = measureAndPrint(&text, printPipeline, func() (findings, error) {
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

// measureAndPrint returns what was measured as it will be kept.
func measureAndPrint[F any](w io.Writer, printIt func(io.Writer, F), measureIt func() (F, error)) (any, error) {
	f, err := measureIt()
	if err == nil {
		printIt(w, f)
	}
	return f, err
}

func choose[T any](first bool, a, b T) T {
	if first {
		return a
	}
	return b
}
