// Command imagery is an image service that loses nothing while servers die: a server, a worker, or, by
// default, a whole fleet of them behind a load balancer on this machine.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"imagery/app/deploy/settings"
	"imagery/app/observe"
)

// Exit codes of the binary.
const (
	exitClean   = 0
	exitFailure = 1
	exitUsage   = 2
)

func main() {
	// Whoever read our first line may stop reading; that is an error of a write, not the end of a fleet.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with its exit code as a value.
func run(args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return runVerb(args, stdout, stderr)
	}
	s, err := settings.Parse(args, os.Getenv, stdout)
	if errors.Is(err, settings.ErrHelp) {
		return exitClean
	}
	if err == nil {
		ctx, kill := stopSignals()
		out, log := observe.NewUnblocked(stdout), observe.NewUnblocked(stderr)
		err = serve(ctx, kill, s, out, log)
		out.Flush(flushTimeout)
		log.Flush(flushTimeout)
	}
	return exitCode(err, stderr)
}

// flushTimeout bounds how long a process that ends waits for its output to be read.
const flushTimeout = time.Second

// stopSignals returns a context that ends at the first SIGINT or SIGTERM, for a clean stop, and a channel that is
// closed at the second one, from somebody who will not wait for it.
func stopSignals() (context.Context, <-chan struct{}) {
	ctx, cancel := context.WithCancel(context.Background())
	kill := make(chan struct{})
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		<-signals
		close(kill)
		signal.Stop(signals) // the third one is not ours any more
	}()
	return ctx, kill
}

// serve runs the role until ctx ends.
func serve(ctx context.Context, kill <-chan struct{}, s settings.Settings, stdout, stderr io.Writer) error {
	if s.Role == settings.Local {
		return runLocal(ctx, kill, s, stdout, stderr)
	}
	go func() {
		<-kill
		os.Exit(exitFailure)
	}()
	if s.Role == settings.Server {
		return runServer(ctx, s, stdout, stderr)
	}
	return runWorker(ctx, s, stdout, stderr)
}

// exitCode prints what went wrong, a line each, and says with which code the process ends.
func exitCode(err error, stderr io.Writer) int {
	if err == nil {
		return exitClean
	}
	for line := range strings.Lines(err.Error()) {
		fmt.Fprintln(stderr, "imagery: "+strings.TrimSuffix(line, "\n"))
	}
	if usage := (*settings.UsageError)(nil); errors.As(err, &usage) {
		return exitUsage
	}
	return exitFailure
}
