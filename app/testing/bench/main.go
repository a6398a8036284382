// Command bench measures the filter side by side with sharp and other programs, or the whole service under load. It
// prints Markdown tables and writes them to docs/speed.md. scripts/bench starts it.
//
// The AWS emulators run in this process. They must not be linked into the product, so bench is a program of its own.
// Go benchmarks with benchstat would not do: the programs run in turns, so that a machine that becomes slower meanwhile
// changes both sides alike, and most of them are not written in Go.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

const usage = `usage: scripts/bench [pipeline|service] [--quick] [--photos DIR] [--out FILE]

Without an argument it runs both parts, one after the other. pipeline needs node, npm and taskset, and measures
GraphicsMagick, ImageMagick and libvips if they are there:
apt-get install graphicsmagick imagemagick libvips-dev pkg-config g++. service needs nothing but Go.

Each row is printed when it is measured. What fails is printed and left out, and the exit code is then 1.

`

// options are the options of the command line.
type options struct {
	sections []string // pipeline and service, or one of them
	quick    bool
	photos   string // folder
	out      string // document; empty for none
}

func main() {
	log.SetFlags(0)
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	o, err := parse(os.Args[1:])
	if errors.Is(err, pflag.ErrHelp) {
		return
	} else if err != nil {
		log.Print("bench: ", err)
		os.Exit(2)
	}
	if err := run(ctx, o); err != nil {
		log.Fatal("bench: ", err)
	}
}

// parse reads the command line.
func parse(args []string) (o options, err error) {
	fs := pflag.NewFlagSet("bench", pflag.ContinueOnError)
	fs.Usage = func() { fmt.Fprint(os.Stderr, usage, fs.FlagUsages()) }
	fs.BoolVar(&o.quick, "quick", false, "run little more than a minute, to try it; writes no document")
	fs.StringVar(&o.photos, "photos", "", "`folder` with photos: its largest JPEG is used instead of a drawn picture")
	fs.StringVar(&o.out, "out", "docs/speed.md", "`document` to write the tables to; empty for none")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	o.sections = []string{"pipeline", "service"}
	if fs.NArg() == 1 && slices.Contains(o.sections, fs.Arg(0)) {
		o.sections = fs.Args()
	} else if fs.NArg() > 0 {
		return o, fmt.Errorf("unexpected arguments %q; scripts/bench -h explains the arguments", fs.Args())
	}
	if o.quick {
		o.out = ""
	}
	return o, nil
}

// run runs the benchmarks, prints the results and writes them to the document. A part that fails does not stop the
// others, but makes run return an error.
func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "imagery-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	log.Printf("this takes about %.0f min on an idle machine", o.estimate().Minutes())
	var errs []error
	for _, section := range o.sections {
		var text bytes.Buffer
		err := o.measure(ctx, section, dir, &text)
		fmt.Printf("%s", text.Bytes())
		if ctx.Err() != nil {
			return ctx.Err() // the document keeps the tables of a whole run
		}
		if err == nil || errors.Is(err, errIncomplete) {
			err = errors.Join(err, o.write(section, text.Bytes()))
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// errIncomplete is returned if a part of a benchmark failed.
var errIncomplete = errors.New("some measurements failed")

func (o options) plans() (pipelinePlan, servicePlan) {
	if o.quick {
		return quick, quickService
	}
	return thorough, thoroughService
}

// estimate returns about how long the run takes.
func (o options) estimate() (d time.Duration) {
	pipeline, service := o.plans()
	for _, section := range o.sections {
		if section == "service" {
			d += service.estimate()
		} else {
			d += pipeline.estimate(len(tools{}.competitors()), min(2, runtime.NumCPU()))
		}
	}
	return d
}

// measure runs one benchmark and writes its tables. It returns errIncomplete if a part of it failed.
func (o options) measure(ctx context.Context, section, dir string, w io.Writer) error {
	pipeline, service := o.plans()
	var failed []string
	if section == "service" {
		f, err := measureService(ctx, service, dir)
		if err != nil {
			return err
		}
		printService(w, f)
		failed = f.failed
	} else {
		f, err := measurePipeline(ctx, pipeline, o.photos, dir)
		if err != nil {
			return err
		}
		printPipeline(w, f)
		failed = f.failed
	}
	if len(failed) > 0 {
		return fmt.Errorf("%s: %w:\n%s", section, errIncomplete, strings.Join(failed, "\n"))
	}
	return nil
}

// write replaces a section of the document.
func (o options) write(section string, text []byte) error {
	if o.out == "" {
		return nil
	}
	document, err := os.ReadFile(o.out)
	if err == nil {
		document, err = replaceSection(document, section, text)
	}
	if err == nil {
		err = os.WriteFile(o.out, document, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the tables: %w", err)
	}
	return nil
}
