package rollout_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"imagery/app/deploy/record"
	"imagery/app/deploy/rollout"
	"imagery/infra/testing/asgsim"
)

// The first deploy has nothing to replace: it proves that what the groups were made with works.
func TestFirstDeploy(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		w.create()
		var smoked []string
		if _, err := w.up(1, func(o *rollout.Options) { o.Smoke = w.smoke(&smoked, time.Minute, nil) }); err != nil {
			t.Fatal(err)
		}
		w.all(1)
		if e := w.wantEntry(1, record.Successful, ""); e.From != "" || len(e.Old) > 0 || len(smoked) != 1 {
			t.Errorf("%+v, smoked %v", e, smoked)
		}
	})
}

// When it fails there is nothing to return to, and somebody wants to look at it.
func TestFirstDeployFails(t *testing.T) {
	for _, role := range []string{"worker", "server"} {
		inEmptyWorld(t, func(w *world) {
			w.fates[role+"/1"] = always(dead())
			w.create()
			_, err := w.up(1)
			e := judged(t, err, "there is none to roll back to; its instances are left as they are", "2 new "+role+"s failed")
			if e.Instance == "" || len(e.Lines) == 0 {
				t.Errorf("%+v", e)
			}
			w.wantEntry(1, record.Failed, "new ")
			// The same release again is tried: what was wrong may have been outside.
			_, err = w.up(1)
			judged(t, err, "there is none to roll back to", "new "+role+"s failed")
			// The next one needs no refresh: nothing is to be kept.
			if _, err := w.up(2); err != nil {
				t.Fatal(err)
			}
			w.all(2)
			w.wantEntry(2, record.Successful, "")
			if _, err := w.up(2); err != nil {
				t.Error(err)
			}
		})
	}
}

// Servers that boot and then do not serve are seen by the balancer only.
func TestFirstDeployIsSick(t *testing.T) {
	inEmptyWorld(t, func(w *world) {
		sick := good()
		sick.Sick = true
		w.fates[key(server, 1)] = always(sick)
		w.create()
		_, err := w.up(1)
		judged(t, err, "there is none to roll back to", "it was in service and is unhealthy")
		if _, err := w.up(2); err != nil {
			t.Fatal(err)
		}
		w.all(2)
	})
}

// Sick instances count for nothing in a release either, and AWS alone would try for an hour.
func TestServersDoNotServe(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		sick := good()
		sick.Sick = true
		w.fates[key(server, 2)] = always(sick)
		began := time.Now()
		_, err := w.up(2)
		judged(t, err, "both groups run", "2 new servers failed, one of them: it was in service and is unhealthy")
		w.all(1)
		if took := time.Since(began); took > 40*time.Minute {
			t.Errorf("took %s", took)
		}
	})
}

func TestTwoControllers(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		done := make(chan error, 1)
		go func() { _, err := w.up(2); done <- err }()
		time.Sleep(5 * time.Minute) // the lock would be over if nobody renewed it
		_, err := w.up(3, func(o *rollout.Options) { o.By = "bob@desk" })
		var held *rollout.HeldError
		if !errors.As(err, &held) || held.Lock.Holder != "ann@laptop" || held.Lock.Why != "release "+release(2)[:12]+", pulumi up" {
			t.Errorf("%v", err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.all(2)
		w.wantEntry(2, record.Successful, "")
	})
}

// Who was away so long that somebody took over must not touch anything again.
func TestLockIsLost(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		done := make(chan error, 1)
		go func() { _, err := w.up(2); done <- err }()
		time.Sleep(time.Minute)
		away := time.Now()
		w.setHook(func(call string, _ int) (error, error) { return w.away(away, 3*time.Minute) })
		if err := <-done; err == nil || !errors.Is(err, errAway) {
			t.Error(err)
		}
		w.setHook(nil)
		time.Sleep(3 * time.Minute)
		if _, err := w.up(2); err != nil { // and whoever comes next goes on
			t.Error(err)
		}
		w.all(2)
		w.wantEntry(2, record.Successful, "")
	})
}

// edit writes the record as another process would.
func (w *world) edit(change func(*record.Record)) {
	w.t.Helper()
	r := w.record()
	change(&r)
	document, err := r.Document()
	if err != nil {
		w.t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	version, _ := strconv.Atoi(w.item[record.AttributeVersion].(*types.AttributeValueMemberN).Value)
	w.item = map[string]types.AttributeValue{record.AttributeVersion: &types.AttributeValueMemberN{Value: strconv.Itoa(version + 1)},
		record.AttributeDocument: &types.AttributeValueMemberS{Value: document}}
}

var errAway = errors.New("no route to host")

func (w *world) away(since time.Time, for_ time.Duration) (error, error) {
	if time.Since(since) < for_ {
		return errAway, nil
	}
	return nil, nil
}

// A network that is away for a minute costs nothing.
func TestNetworkIsAway(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		done := make(chan error, 1)
		go func() { _, err := w.up(2); done <- err }()
		time.Sleep(time.Minute)
		away := time.Now()
		w.setHook(func(string, int) (error, error) { return w.away(away, time.Minute) })
		if err := <-done; err != nil {
			t.Error(err)
		}
		w.all(2)
	})
}

// Ctrl-C leaves AWS rolling; the lock is free, and the next run goes on.
func TestInterrupted(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		ctx, stop := context.WithTimeout(context.Background(), 2*time.Minute)
		defer stop()
		_, err := w.upWith(ctx, 2)
		if err == nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatal(err)
		}
		if r := w.record(); r.Lock != nil || r.Current() == nil {
			t.Errorf("%+v", r)
		}
		if _, err := w.up(2); err != nil {
			t.Error(err)
		}
		if !w.said("continuing") {
			t.Error("nobody said that it goes on")
		}
		w.all(2)
		if e := w.wantEntry(2, record.Successful, ""); len(w.record().Entries) != 2 || e.From != release(1) {
			t.Errorf("%+v", e)
		}
	})
}

// A second deploy while the first one's refresh is under way, and nobody drives that: it is taken back first.
func TestSuperseded(t *testing.T) {
	for _, after := range []time.Duration{2 * time.Minute, 12 * time.Minute} { // while workers roll, and servers
		inWorld(t, func(w *world) {
			w.proven()
			ctx, stop := context.WithTimeout(context.Background(), after)
			defer stop()
			if _, err := w.upWith(ctx, 2); err == nil {
				t.Fatal("too quick")
			}
			if _, err := w.up(3); err != nil {
				t.Fatal(err)
			}
			w.all(3)
			if e := w.wantEntry(3, record.Successful, ""); e.From != release(1) {
				t.Errorf("%+v", e)
			}
			if e := w.record().Entries[1]; e.Release != release(2) || e.Result != record.Superseded {
				t.Errorf("%+v", e)
			}
			// It was not judged, so it may come again.
			if _, err := w.up(2); err != nil {
				t.Error(err)
			}
		})
	}
}

// Somebody began a refresh in the console: the wanted one is adopted, any other rolled back.
func TestForeignRefresh(t *testing.T) {
	for _, version := range []string{"2", "3"} {
		inWorld(t, func(w *world) {
			w.proven()
			percent, most := 100, 150
			if _, err := w.sim.StartRefresh("worker", "lt-worker", version, asgsim.Preferences{MinHealthy: &percent, MaxHealthy: &most, SkipMatching: true, AutoRollback: true}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if _, err := w.up(2); err != nil {
				t.Error(err)
			}
			w.all(2)
			if all, _ := w.sim.Refreshes("worker"); (len(all) == 1) != (version == "2") {
				t.Errorf("%d refreshes of the workers", len(all))
			}
		})
	}
}

// Instances that scaling adds meanwhile are of the new release, and nothing changes the size.
func TestScaleOut(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		go func() {
			time.Sleep(3 * time.Minute)
			for _, g := range []string{"worker", "server"} {
				four := 4
				if err := w.sim.Update(g, asgsim.Change{Desired: &four}); err != nil {
					t.Error(err)
				}
			}
		}()
		if _, err := w.up(2); err != nil {
			t.Error(err)
		}
		w.all(2)
		for _, role := range rollout.Order {
			if g, instances := w.group(role); g.Desired != 4 || len(instances) < 4 {
				t.Errorf("%+v, %d instances", g, len(instances))
			}
		}
	})
}

// Nobody waits, and the next run sees how it ended.
func TestStart(t *testing.T) {
	start := func(o *rollout.Options) { o.Start = true }
	inWorld(t, func(w *world) {
		w.proven()
		began := time.Now()
		if out, err := w.up(2, start); err != nil || out != rollout.Started || time.Since(began) > time.Minute {
			t.Fatal(out, err)
		}
		if out, err := w.up(2, start); err != nil || out != rollout.Started {
			t.Error(out, err)
		}
		time.Sleep(20 * time.Minute)
		if out, err := w.up(2, start); err != nil || out != rollout.Done {
			t.Error(out, err)
		}
		w.all(2)
		w.wantEntry(2, record.Successful, "")
		// One group fails by itself; the next run sees to the other.
		w.fates[key(server, 3)] = always(asgsim.Script{Boot: time.Minute, Answer: asgsim.Continue, Sick: true})
		if _, err := w.up(3, start); err != nil {
			t.Fatal(err)
		}
		time.Sleep(3 * time.Hour)
		_, err := w.up(3, start)
		judged(t, err, "both groups run "+release(2)[:12], "the refresh of the servers")
		w.all(2)
	})
}

// The way back is tried three times, and then it takes a person.
func TestWayBackFails(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		w.fates[key(server, 2)] = always(dead())
		w.fates[key(worker, 1)] = func(n int) asgsim.Script {
			if n <= 2 {
				return good()
			}
			return dead()
		}
		_, err := w.up(2)
		e := judged(t, err, "the rollback does not work", "2 new servers failed")
		w.wantEntry(2, record.Failed, "the rollback does not work")
		if w.serving(worker, 2) != 2 {
			t.Error("workers that serve were taken away:", e)
		}
		_, err = w.up(2)
		refused(t, err, "failed on")
	})
}

// A version whose only change is its configuration has the hash of what runs: that one is not condemned with it.
func TestSameReleaseOtherTemplate(t *testing.T) {
	inWorld(t, func(w *world) {
		w.sim.SetTemplate("lt-worker", templates(1, 1, 1)...)
		w.sim.SetTemplate("lt-server", templates(1, 1, 1)...)
		w.proven()
		same := func(n int) (rollout.Outcome, error) {
			want := target(n)
			want.Release = release(1)
			return rollout.Run(context.Background(), w.options(), want)
		}
		w.fates[key(worker, 2)] = always(dead())
		_, err := same(2)
		judged(t, err, "both groups run", "new ")
		_, err = same(2)
		refused(t, err, "failed on")
		if _, err := same(3); err != nil {
			t.Error(err)
		}
		if _, err := same(3); err != nil {
			t.Error(err)
		}
		w.all(3)
	})
}

func templates(releases ...int) (out []asgsim.TemplateVersion) {
	for i, n := range releases {
		out = append(out, asgsim.TemplateVersion{Number: i + 1, Image: "ami-1",
			UserData: fmt.Sprintf("#!/bin/bash\nBUCKET=releases\nKEY=releases/%[1]s/imagery\nSHA=%[1]s\n", release(n))})
	}
	return out
}

// A smoke test that still runs when a rollout ends would write its lines, and its photo, after the end.
func TestSmokeEndsWithTheRollout(t *testing.T) {
	inWorld(t, func(w *world) {
		w.proven()
		ctx, interrupt := context.WithCancel(context.Background())
		defer interrupt()
		ended := false
		_, err := w.upWith(ctx, 2, func(o *rollout.Options) {
			o.Smoke = func(ctx context.Context, _ string) (string, error) {
				interrupt()
				<-ctx.Done()
				time.Sleep(time.Second) // the end of its last request
				ended = true
				return "", ctx.Err()
			}
		})
		if err == nil || !ended {
			t.Errorf("the rollout ended with %v, its smoke test with it: %v", err, ended)
		}
	})
}
