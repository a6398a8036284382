package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/autoscaling"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/cloudwatch/types"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/elasticloadbalancingv2"

	"imagery/app/admin/smoke"
	"imagery/app/deploy/rollout"
	"imagery/app/deploy/settings"
	"imagery/infra/testing/asgsim"
	cw "imagery/infra/testing/cloudwatch"
	"imagery/infra/testing/nspawn"
	"imagery/infra/testing/pulumitest"
)

// guards are the alarms that judge a release, by the ends of their names.
var guards = map[settings.Role][]string{settings.Server: {"-server-errors", "-server-latency"},
	settings.Worker: {"-worker-failures"}}

const metricAlarmType = "cloudwatch/metricAlarm:MetricAlarm"

// judge has the program's own guard alarms watch the machines' own metrics, and the simulator know their states.
func (r *rig) judge(g *pulumitest.Graph) {
	r.Helper()
	r.guards = map[settings.Role][]string{}
	stored := &cw.Memory{}
	for role, ends := range guards {
		for _, end := range ends {
			a := r.alarm(g.One(metricAlarmType, end))
			r.guards[role] = append(r.guards[role], *a.AlarmName)
			r.sim.SetAlarms(a.StateValue, *a.AlarmName)
			stored.Put(a)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	ended, logs := make(chan struct{}), r.host.Logs()
	alarms := cw.Alarms{API: stored, Metrics: &cw.Store{}, Factor: r.options.factor, Log: r.logf,
		Observe: func(name string, state types.StateValue) { r.sim.SetAlarms(state, name) }}
	r.Cleanup(func() { stop(); <-ended })
	go func() {
		defer close(ended)
		alarms.Run(ctx, func() { logs.Read(func(line []byte) { alarms.Metrics.Put(cw.Embedded(line)...) }) },
			func(time.Time) {})
	}()
}

// leastLatency bounds the division of a latency: how fast the machines are is not divided.
const leastLatency = 2000.0 // ms

// alarm reads an alarm of the program. Its threshold is divided like every duration if it is one, as its period is.
func (r *rig) alarm(of *pulumitest.Resource) types.MetricAlarm {
	a := metricAlarm(of)
	if aws.ToString(a.MetricName) == settings.MetricRequestTime {
		*a.Threshold = max(*a.Threshold/float64(r.options.factor), leastLatency)
	}
	return a
}

// up does the part of a `pulumi up` that concerns machines: it runs the controller against the emulated endpoints.
func (r *rig) up(version string, bake time.Duration) error {
	cfg := aws.Config{Region: region, BaseEndpoint: aws.String("http://" + control),
		Credentials: credentials.NewStaticCredentialsProvider("deployer", "secret", "")}
	o := rollout.Options{
		Clients: rollout.Clients{Groups: autoscaling.NewFromConfig(cfg), Targets: elasticloadbalancingv2.NewFromConfig(cfg),
			Compute: ec2.NewFromConfig(cfg),
			Alarms:  cloudwatch.NewFromConfig(cfg), Objects: r.cloud.S3(), Table: r.cloud.DynamoDB()},
		Table: r.stack.Table, By: "test@host", Why: "pulumi up", Bake: bake,
		Poll: 10 * time.Second / time.Duration(r.options.factor),
		Groups: map[settings.Role]rollout.Group{settings.Worker: {Name: workers, Alarms: r.guards[settings.Worker]},
			settings.Server: {Name: servers, Alarms: r.guards[settings.Server]}},
		Log: func(line string) { r.logf("rollout: %s", line) },
		Smoke: func(ctx context.Context, release string) error {
			_, err := smoke.Run(ctx, smoke.Options{URL: "http://" + nspawn.Address, Release: release})
			return err
		},
	}
	n, err := strconv.Atoi(version)
	r.must(err)
	ctx, cancel := context.WithTimeout(r.Context(), 3*eventTimeout)
	defer cancel()
	outcome, err := rollout.Run(ctx, o,
		rollout.Target{Release: r.releases[n-1],
			Versions: map[settings.Role]string{settings.Worker: version, settings.Server: version}})
	if err == nil && outcome != rollout.Done {
		err = fmt.Errorf("the rollout ended as %q", outcome)
	}
	return err
}

// up's bakes: a short one, and one that is longer than the three periods of the clock that the latency alarm wants.
const bake, longBake = 60 * time.Second, 300 * time.Second

// rolled fails unless both groups come to run one version, and have nothing else.
func (r *rig) rolled(version string) {
	r.Helper()
	for _, name := range []string{servers, workers} {
		r.until(name+" has version "+version+" and nothing else", func() bool {
			g, all, err := r.sim.Snapshot(name)
			r.must(err)
			others := slices.ContainsFunc(all, func(i asgsim.Instance) bool {
				return i.Version != version && !strings.HasPrefix(string(i.State), "Terminat")
			})
			return g.Version == version && !others && len(r.in(name, version)) == 2
		})
	}
}

// firstRelease proves what the groups were made with, as a first deploy does.
func (r *rig) firstRelease() {
	r.Helper()
	from := time.Now()
	r.must(r.up("1", bake))
	r.rolled("1")
	r.logf("first release: proven by the controller and a smoke within %.1f s", time.Since(from).Seconds())
}

// rollGood has the controller replace both groups.
func (r *rig) rollGood() {
	r.Helper()
	from := time.Now()
	next := append(slices.Clone(r.good), '2') // another hash, the same program
	version := r.release(next, next)
	r.must(r.up(version, bake))
	r.rolled(version)
	r.unharmed(fmt.Sprintf("good release rolled in %.1f s", time.Since(from).Seconds()), from)
}

// takenBack has the controller try a release that it must take back, for a reason that it must give with its words or
// the instance's, and fails unless no request did.
func (r *rig) takenBack(what, version, reason string, bake time.Duration) {
	r.Helper()
	from := time.Now()
	g, _, err := r.sim.Snapshot(servers)
	r.must(err)
	var judged *rollout.Error
	if err := r.up(version, bake); !errors.As(err, &judged) || !strings.Contains(judged.Outcome, "rolled back") ||
		!strings.Contains(judged.Reason+"\n"+strings.Join(judged.Lines, "\n"), reason) {
		r.Fatalf("%s: %v", what, err)
	}
	r.logf("%s: %v", what, judged)
	r.rolled(g.Version)
	r.unharmed(fmt.Sprintf("%s: rolled back by the controller in %.1f s", what, time.Since(from).Seconds()), from)
}

// rollBad has the controller try a release that does not boot. It costs two launches of workers and nothing else;
// tried again it is not even begun.
func (r *rig) rollBad() {
	r.Helper()
	all := func() []string { return append(ids(r.in(servers, "")), ids(r.in(workers, ""))...) }
	before := all()
	version := r.release(append(slices.Clone(r.good), '3'), r.good)
	r.takenBack("wrong hash", version, "verify the SHA-256 of release", bake)
	if now := all(); !slices.Equal(now, before) {
		r.Errorf("wrong hash: there were %v and there are %v", before, now)
	}
	var judged *rollout.Error
	if err := r.up(version, bake); err == nil || errors.As(err, &judged) ||
		!strings.Contains(err.Error(), "Nothing was changed") {
		r.Errorf("the same release again: %v", err)
	}
}

// rollHalfBad has the controller try a release of which only the servers do not boot: the workers, all new by then, go
// back with them.
func (r *rig) rollHalfBad() {
	r.Helper()
	next := append(slices.Clone(r.good), '6')
	version := r.release(next, next)
	r.withoutRight(func() { r.takenBack("servers without a right", version, "run the self-test", bake) })
}

// rollSlow has the controller try a release that passes selftest, /readyz and smoke, and whose servers hold uploads up
// once they get more than one a second. As long as there are old servers the balancer gives the slow ones little; when
// the last one goes, users wait, and the alarm on the servers' own figures takes the release back while it bakes. A
// release that answers errors under load cannot be rolled back without failed requests, since its guard alarm counts
// them.
func (r *rig) rollSlow() {
	r.Helper()
	from := time.Now()
	r.takenBack("slow under load", r.release(r.slow, r.slow), "-server-latency", longBake)
	var slowest time.Duration
	for _, q := range r.load.Since(from) {
		slowest = max(slowest, q.End.Sub(q.Begin))
	}
	r.logf("slow under load: the slowest request took %.1f s", slowest.Seconds())
}
