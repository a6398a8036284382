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

	"imagery/app/cli"
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
	// A program that reads our first line may close the pipe. That is a write error and must not end the fleet.
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run is main with the exit code as its result.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, kill := stopSignals()
	app := cli.App{Console: newConsole(stdout, stderr), Getenv: os.Getenv, Open: openDeployment, Extra: extraCommands,
		BeforeCommand: func() error {
			go exitOn(kill)
			return nil
		},
		Role: func(ctx context.Context, s settings.Settings) error {
			out, log := observe.NewUnblocked(stdout), observe.NewUnblocked(stderr)
			defer out.Flush(flushTimeout)
			defer log.Flush(flushTimeout)
			if s.Role == settings.Local {
				return runLocal(ctx, kill, s, out, log)
			}
			go exitOn(kill)
			return runRole(ctx, s, out, log)
		}}
	return exitCode(app.Run(ctx, args), stderr)
}

// flushTimeout bounds how long a process that ends waits until its output is read.
const flushTimeout = time.Second

// stopSignals returns a context that ends at the first SIGINT or SIGTERM, for a clean stop, and a channel that is
// closed at the second one, for users who do not want to wait.
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
		signal.Stop(signals) // the third one ends the process at once
	}()
	return ctx, kill
}

// exitOn ends the process at the second signal.
func exitOn(kill <-chan struct{}) {
	<-kill
	os.Exit(exitFailure)
}

// exitCode prints the error, a line for each problem, and returns the exit code of the process.
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
