package main

import (
	"context"
	"fmt"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/pulumi/pulumi/sdk/v3/go/pulumi"

	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/infra/preflight"
)

// Roller calls AWS where the program does not use the provider.
type Roller interface {
	// Preflight checks the account before the first resource, in previews too.
	Preflight(ctx context.Context, a AWSSettings, want preflight.Stack, was preflight.State) (preflight.Report, error)
	// Roll rolls a release out. It is called in every update and in no preview. Its error fails the update.
	Roll(ctx context.Context, p Plan) (rollout.Outcome, error)
}

// Plan describes a rollout.
type Plan struct {
	rollout.Options // without clients and smoke test, which the roller sets
	Target          rollout.Target
	AWS             AWSSettings
	URL             string // of the service under the load balancer's own name, for the smoke test; empty: none
}

// rollOut rolls the release out to both groups. Only the outputs depend on the result; through them an error fails the
// update.
func (s *Stack) rollOut(ctx *pulumi.Context, roller Roller) {
	cfg := s.cfg
	if ctx.DryRun() || cfg.Rollout == "off" {
		why := pulumi.String(map[bool]string{true: "preview", false: "off"}[ctx.DryRun()])
		s.outcome = pulumi.StringMap{string(settings.Worker): why, string(settings.Server): why}.ToStringMapOutput()
		return
	}
	inputs := []any{s.storage.Table.Name, s.edge.URL,
		s.worker.Group.Name, s.worker.Template.LatestVersion, s.alarms.Guards[settings.Worker],
		s.server.Group.Name, s.server.Template.LatestVersion, s.alarms.Guards[settings.Server],
		s.worker.Policy.ID(), s.server.Policy.ID()} // not used, but they must exist before the rollout starts
	s.outcome = pulumi.All(inputs...).ApplyTWithContext(ctx.Context(),
		func(c context.Context, v []any) (map[string]string, error) {
			p := Plan{AWS: s.awsSettings(), Target: rollout.Target{Release: s.binary.SHA, Versions: map[settings.Role]string{
				settings.Worker: strconv.Itoa(v[3].(int)), settings.Server: strconv.Itoa(v[6].(int))}}}
			p.Options = rollout.Options{
				Table: v[0].(string), By: rollout.Whoami(), Why: "pulumi up of stack " + cfg.Stack,
				Bake: time.Duration(cfg.BakeSeconds) * time.Second, Force: cfg.RolloutForce, Start: cfg.Rollout == "start",
				Log: func(line string) { _ = ctx.Log.Info(line, nil) }, // it fails only if the engine has ended
				Groups: map[settings.Role]rollout.Group{
					settings.Worker: {Name: v[2].(string), Alarms: v[4].([]string), Logs: cfg.logGroup(settings.Worker)},
					settings.Server: {Name: v[5].(string), Alarms: v[7].([]string), Logs: cfg.logGroup(settings.Server)}},
			}
			if cfg.Smoke == "on" {
				p.URL = v[1].(string)
			}
			result, err := roller.Roll(c, p)
			out := map[string]string{}
			for role, version := range p.Target.Versions {
				out[string(role)] = fmt.Sprintf("release %.12s %s as version %s", p.Target.Release, result, version)
			}
			return out, err
		}).(pulumi.StringMapOutput)
}

// onAWS is the Roller that calls AWS.
type onAWS struct{}

// Preflight runs the preflight with the provider's settings.
func (onAWS) Preflight(
	ctx context.Context, a AWSSettings, want preflight.Stack, was preflight.State,
) (preflight.Report, error) {
	cfg, err := a.sdk(ctx)
	if err != nil {
		return preflight.Report{}, fmt.Errorf("preflight: %w", err)
	}
	return preflight.Check(ctx, preflight.NewClients(cfg), want, was)
}

// Roll runs the rollout with the provider's settings.
func (onAWS) Roll(ctx context.Context, p Plan) (rollout.Outcome, error) {
	// Ctrl-C also reaches this process. The rollout then releases its lock and logs what it leaves unfinished.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	aws, err := p.AWS.sdk(ctx)
	if err != nil {
		return "", fmt.Errorf("rollout: %w", err)
	}
	p.Clients = rollout.NewClients(aws)
	if p.URL != "" {
		p.Smoke = rollout.SmokeAt(p.URL, p.Log)
	}
	return rollout.Run(ctx, p.Options, p.Target)
}
