package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/http"
	"time"

	"imagery/app/cli"
	"imagery/app/deploy/settings"
)

// stage is where one row plays: a store, a fleet on it, processes that join the fleet, and uploads.
type stage struct {
	setup
	idle    bool // see attack
	store   store
	traffic *traffic
	fleet   *process
	joined  []*process
}

// newStage starts a fleet for a row and waits until it is ready. clear must be called in any case.
func newStage(ctx context.Context, r *row, s setup, dir string) (st *stage, err error) {
	st = &stage{setup: s, idle: r.idle, traffic: newTraffic(s.photos, r.hasty)}
	if r.backend == onAWS {
		st.store, err = newEmulated(ctx, s.visibility)
	} else {
		st.store, err = newFolder(dir)
	}
	if err == nil {
		err = st.startFleet(ctx)
	}
	return st, err
}

// startFleet starts the fleet, or a server alone where no worker may run yet, and sends requests there once it is
// ready.
func (s *stage) startFleet(ctx context.Context) (err error) {
	role := "local"
	if s.idle {
		role = "server"
	}
	if s.fleet, err = s.run(ctx, "fleet", "-role", role); err != nil {
		return err
	}
	s.traffic.open(s.fleet.url)
	_, err = s.traffic.client.Expect(ctx, http.MethodGet, "/readyz", nil, nil, http.StatusOK)
	return err
}

// join starts a process of a role beside the fleet. A server gets every second request.
func (s *stage) join(ctx context.Context, role string, flags ...string) (*process, error) {
	name := fmt.Sprintf("%s-joined-%d", role, len(s.joined)+1)
	p, err := s.run(ctx, role, append(flags, "-role", role, "-instance", name)...)
	if err != nil {
		return nil, err
	}
	s.joined = append(s.joined, p)
	if role == "server" {
		s.traffic.open(p.url)
	}
	return p, nil
}

func (s *stage) run(ctx context.Context, caller string, flags ...string) (*process, error) {
	flags = append(flags, "-listen", "127.0.0.1:0", "-visibility", s.visibility.String(), "-resend-after", s.resend.String())
	return launch(ctx, s.exe, s.store.environment(caller), append(flags, s.store.flags()...)...)
}

// stop ends everything cleanly, the fleet last.
func (s *stage) stop(ctx context.Context) error {
	var errs []error
	for _, p := range append(s.joined, s.fleet) {
		errs = append(errs, p.stop(ctx))
	}
	return errors.Join(errs...)
}

// clear ends what still runs after a failure.
func (s *stage) clear() {
	for _, p := range append(s.joined, s.fleet) {
		if p != nil {
			p.kill()
		}
	}
	s.traffic.client.HTTP.CloseIdleConnections()
	if s.store != nil {
		s.store.close()
	}
}

// later is when the sweep takes place: images without a photo have expired by then, and uploads that were under
// way are history.
const later = 31 * 24 * time.Hour

// sweep is the operator's repair, with a clock that is ahead.
func (s *stage) sweep(ctx context.Context) error {
	found, rest, err := cli.Find(cli.Verbs, []string{"fsck", "--repair"})
	if err != nil {
		return err
	}
	flags := flag.NewFlagSet("fsck", flag.ContinueOnError)
	repair := found[0].Setup(flags)
	if err := flags.Parse(rest); err != nil {
		return err
	}
	err = repair(ctx, cli.Call{Console: cli.Console{Out: io.Discard, Err: io.Discard},
		Open: func(ctx context.Context, _ settings.Settings, _ string) (cli.Backend, error) {
			b, err := s.store.operate(ctx)
			if err == nil {
				b.Service.Now, b.Service.ResendAfter = func() time.Time { return time.Now().Add(later) }, s.resend
			}
			return b, err
		}})
	if err != nil {
		return fmt.Errorf("sweep: %w", err)
	}
	return nil
}
