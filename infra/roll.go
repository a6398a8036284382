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

// Roller makes the calls to AWS that the provider does not make.
type Roller interface {
	// Preflight checks the account before the first resource, in previews too.
	Preflight(ctx context.Context, a AWSSettings, want preflight.Stack, was preflight.State) (preflight.Report, error)
	// Roll brings a release onto the instances. It is asked at every update, never in a preview, and its error fails
	// the update.
	Roll(ctx context.Context, p Plan) (rollout.Outcome, error)
}

// Plan is all that a rollout is told.
type Plan struct {
	rollout.Options // without clients and smoke, which the roller makes
	Target          rollout.Target
	AWS             AWSSettings
	URL             string // of the service under the balancer's own name, for the smoke; empty: none
}

// rollOut has the groups run the release that was shipped. Nothing may depend on its outcome but the outputs: through
// them an error fails the update.
func (s *Stack) rollOut(ctx *pulumi.Context, roller Roller) {
	cfg := s.cfg
	if ctx.DryRun() || cfg.Rollout == "off" {
		s.outcome = map[settings.Role]pulumi.StringInput{}
		for _, role := range rollout.Order {
			s.outcome[role] = pulumi.String(map[bool]string{true: "preview", false: "off"}[ctx.DryRun()])
		}
		return
	}
	// The policies are no input of a rollout, but a group should be whole before it is rolled.
	outcome := pulumi.All(s.storage.Table.Name, s.edge.URL, s.worker.Group.Name, s.worker.Template.LatestVersion, s.alarms.Guards[settings.Worker],
		s.server.Group.Name, s.server.Template.LatestVersion, s.alarms.Guards[settings.Server], s.worker.Policy.ID(), s.server.Policy.ID()).
		ApplyTWithContext(ctx.Context(), func(c context.Context, v []any) (map[string]string, error) {
			p := Plan{AWS: s.awsSettings(), Target: rollout.Target{Release: s.binary.SHA, Versions: map[settings.Role]string{
				settings.Worker: strconv.Itoa(v[3].(int)), settings.Server: strconv.Itoa(v[6].(int))}}}
			p.Options = rollout.Options{Table: v[0].(string), By: rollout.Whoami(), Why: "pulumi up of stack " + cfg.Stack, Bake: time.Duration(cfg.BakeSeconds) * time.Second,
				Force: cfg.RolloutForce, Start: cfg.Rollout == "start", Log: func(line string) { _ = ctx.Log.Info(line, nil) }, // the engine is gone if this fails
				Groups: map[settings.Role]rollout.Group{
					settings.Worker: {Name: v[2].(string), Alarms: v[4].([]string), Logs: cfg.logGroup(settings.Worker)},
					settings.Server: {Name: v[5].(string), Alarms: v[7].([]string), Logs: cfg.logGroup(settings.Server)}}}
			if cfg.Smoke == "on" {
				p.URL = v[1].(string)
			}
			did, err := roller.Roll(c, p)
			out := map[string]string{}
			for role, version := range p.Target.Versions {
				out[string(role)] = fmt.Sprintf("release %.12s %s as version %s", p.Target.Release, did, version)
			}
			return out, err
		}).(pulumi.StringMapOutput)
	s.outcome = map[settings.Role]pulumi.StringInput{}
	for _, role := range rollout.Order {
		s.outcome[role] = outcome.MapIndex(pulumi.String(string(role)))
	}
}

// onAWS rolls out for real.
type onAWS struct{}

// Preflight asks with the settings of the provider.
func (onAWS) Preflight(
	ctx context.Context, a AWSSettings, want preflight.Stack, was preflight.State,
) (preflight.Report, error) {
	cfg, err := a.sdk(ctx)
	if err != nil {
		return preflight.Report{}, fmt.Errorf("begin the preflight: %w", err)
	}
	return preflight.Check(ctx, preflight.NewClients(cfg), want, was)
}

// Roll runs the rollout with the settings of the provider.
func (onAWS) Roll(ctx context.Context, p Plan) (rollout.Outcome, error) {
	// Ctrl-C reaches this process as well; what it leaves behind is said, and the lock is given back.
	ctx, stop := signal.NotifyContext(ctx, syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	aws, err := p.AWS.sdk(ctx)
	if err != nil {
		return "", fmt.Errorf("begin the rollout: %w", err)
	}
	p.Clients = rollout.NewClients(aws)
	if p.URL != "" {
		p.Smoke = rollout.SmokeAt(p.URL, p.Log)
	}
	return rollout.Run(ctx, p.Options, p.Target)
}
