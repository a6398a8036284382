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
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/pflag"
)

const usage = `usage: scripts/bench [pipeline|service] [--quick] [--photos DIR] [--out FILE]

pipeline (the default) needs node, npm and taskset, and measures GraphicsMagick and ImageMagick if they are there:
apt-get install graphicsmagick imagemagick. service needs nothing but Go.

`

// options are the options of the command line.
type options struct {
	section string // pipeline or service
	quick   bool
	photos  string // folder
	out     string // document; empty for none
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
	fs.BoolVar(&o.quick, "quick", false, "run less than a minute, to try it; writes no document")
	fs.StringVar(&o.photos, "photos", "", "`folder` with photos: its largest JPEG is used instead of a drawn picture")
	fs.StringVar(&o.out, "out", "docs/speed.md", "`document` to write the section to; empty for none")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.section = "pipeline"; fs.NArg() > 0 {
		o.section = fs.Arg(0)
	}
	if fs.NArg() > 1 || o.section != "pipeline" && o.section != "service" {
		return o, fmt.Errorf("unexpected arguments %q; scripts/bench -h explains the arguments", fs.Args())
	}
	if o.quick {
		o.out = ""
	}
	return o, nil
}

// run runs one of the two benchmarks, prints the results and writes them to the document.
func run(ctx context.Context, o options) error {
	dir, err := os.MkdirTemp("", "imagery-bench")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var text bytes.Buffer
	if o.section == "service" {
		plan := thoroughService
		if o.quick {
			plan = quickService
		}
		f, err := measureService(ctx, plan, dir)
		if err != nil {
			return err
		}
		printService(&text, f)
	} else {
		plan := thorough
		if o.quick {
			plan = quick
		}
		f, err := measurePipeline(ctx, plan, o.photos, dir)
		if err != nil {
			return err
		}
		printPipeline(&text, f)
	}
	fmt.Printf("%s", text.Bytes())
	if o.out == "" {
		return nil
	}
	document, err := os.ReadFile(o.out)
	if err == nil {
		document, err = replaceSection(document, o.section, text.Bytes())
	}
	if err == nil {
		err = os.WriteFile(o.out, document, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the tables: %w", err)
	}
	return nil
}
