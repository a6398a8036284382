package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"imagery/app/cli"
	"imagery/app/deploy/settings"
	"imagery/app/testing/process"
)

// env is the environment of one row: a store, a fleet that uses it, further processes and the uploads.
type env struct {
	setup
	idle    bool // see scenario
	store   store
	traffic *traffic
	fleet   *process.Process
	joined  []*process.Process
}

// newEnv starts a fleet for a row and waits until it is ready. The caller must call cleanup, also after an error.
func newEnv(ctx context.Context, r *row, s setup, dir string) (e *env, err error) {
	e = &env{setup: s, idle: r.idle, traffic: newTraffic(s.photos, r.noRetry)}
	if r.backend == onAWS {
		e.store, err = newEmulated(ctx, s.visibility)
	} else {
		e.store, err = newDataFolder(dir)
	}
	if err == nil {
		err = e.startFleet(ctx)
	}
	return e, err
}

// startFleet starts the fleet, or only a server if the scenario is idle, waits until it is ready and sends requests to
// it.
func (e *env) startFleet(ctx context.Context) (err error) {
	role := "local"
	if e.idle {
		role = "server"
	}
	if e.fleet, err = e.run(ctx, "fleet", "-role", role); err != nil {
		return err
	}
	e.traffic.addEndpoint(e.fleet.URL)
	_, err = e.traffic.client.Expect(ctx, http.MethodGet, "/readyz", nil, nil, http.StatusOK)
	return err
}

// join starts a process of a role beside the fleet. A server gets every second request.
func (e *env) join(ctx context.Context, role string, flags ...string) (*process.Process, error) {
	name := fmt.Sprintf("%s-joined-%d", role, len(e.joined)+1)
	p, err := e.run(ctx, role, append(flags, "-role", role, "-instance", name)...)
	if err != nil {
		return nil, err
	}
	e.joined = append(e.joined, p)
	if role == "server" {
		e.traffic.addEndpoint(p.URL)
	}
	return p, nil
}

func (e *env) run(ctx context.Context, caller string, flags ...string) (*process.Process, error) {
	flags = append(flags, "-listen", "127.0.0.1:0", "-visibility", e.visibility.String(),
		"-resend-after", e.resend.String())
	c := process.Command{Exe: e.exe, Env: e.store.environment(caller), Args: append(flags, e.store.flags()...)}
	return c.Start(ctx)
}

// stop terminates all processes with SIGTERM, the fleet last.
func (e *env) stop(ctx context.Context) error {
	var errs []error
	for _, p := range append(e.joined, e.fleet) {
		errs = append(errs, p.Stop(ctx))
	}
	return errors.Join(errs...)
}

// cleanup kills the processes that still run, and closes the store.
func (e *env) cleanup() {
	for _, p := range append(e.joined, e.fleet) {
		if p != nil {
			p.Kill()
		}
	}
	e.traffic.client.HTTP.CloseIdleConnections()
	if e.store != nil {
		e.store.close()
	}
}

// repairAfter is the time between the run and the repair, on the clock of the repair: images without a photo have
// expired by then, and no upload is in progress.
const repairAfter = 31 * 24 * time.Hour

// repair runs the command fsck --repair with a clock that is ahead by repairAfter.
func (e *env) repair(ctx context.Context) error {
	err := cli.App{Console: cli.Console{Out: io.Discard, Err: io.Discard},
		Open: func(ctx context.Context, _ settings.Settings, _ string) (cli.Deployment, error) {
			b, err := e.store.operate(ctx)
			if err == nil {
				b.Service.Now, b.Service.ResendAfter = func() time.Time { return time.Now().Add(repairAfter) }, e.resend
			}
			return b, err
		}}.Run(ctx, []string{"fsck", "--repair"})
	if err != nil {
		return fmt.Errorf("fsck --repair: %w", err)
	}
	return nil
}
