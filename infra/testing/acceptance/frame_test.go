package main

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"
)

// eye is an observer that finds in each scene what a test says.
type eye map[string]error

func (e eye) observe(_ context.Context, of *T) (observed, error) {
	return observed{requests: 7, accepted: 3}, e[of.scene]
}

func (e eye) complaints(_ context.Context, of *T) string { return " (log of " + of.scene + ")" }

// try is a scene for tests. It notes that it ran, and under which context.
func try(name string, err error, ran *[]string) scene {
	return scene{name: name, title: name, proves: "that " + name + " works", run: func(ctx context.Context, t *T) error {
		*ran = append(*ran, name)
		if ctx.Err() != nil {
			*ran = append(*ran, name+" has no time left")
		}
		t.figure("figure of %s", name)
		return err
	}}
}

// runFrame runs scenes of these names. Those with an error fail.
func runFrame(t *testing.T, ctx context.Context, change func(*frame), fail map[string]error, names ...string) (
	results []result, ran []string) {
	t.Helper()
	f := &frame{client: eye{}, logf: t.Logf,
		usable: func(context.Context) error { return nil }}
	for _, name := range names {
		f.scenes = append(f.scenes, try(name, fail[name], &ran))
	}
	asked := 0
	f.ask = func(context.Context) { asked++ }
	if change != nil {
		change(f)
	}
	results = f.run(ctx, &test{out: t.Output(), begun: time.Now()})
	unusable := slices.ContainsFunc(results, func(r result) bool { return r.outcome == notRun }) && ctx.Err() == nil
	if want := map[bool]int{true: 1}[!unusable && len(f.chosen) == 0]; asked != want {
		t.Errorf("questions were asked %d times, want %d", asked, want)
	}
	return results, ran
}

func outcomes(results []result) string {
	var all []string
	for _, r := range results {
		all = append(all, r.name+" "+r.outcome)
	}
	return strings.Join(all, ", ")
}

var errPlanted = errors.New("planted")

func TestFrame(t *testing.T) {
	interrupted, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct {
		name   string
		ctx    context.Context
		fail   map[string]error
		change func(*frame)
		want   string
		ran    []string
	}{
		{name: "all pass", want: "up passed, a passed, b passed, destroy passed", ran: []string{"up", "a", "b", "destroy"}},
		{name: "a failed scene does not stop the run", fail: map[string]error{"a": errPlanted},
			want: "up passed, a FAILED, b passed, destroy passed", ran: []string{"up", "a", "b", "destroy"}},
		{name: "a stack that is not usable gets no more scenes, and is destroyed", fail: map[string]error{"a": errPlanted},
			change: func(f *frame) { f.usable = func(context.Context) error { return errPlanted } },
			want:   "up passed, a FAILED, b not run, destroy passed", ran: []string{"up", "a", "destroy"}},
		{name: "without a stack there is nothing to test, and what was made is destroyed",
			fail: map[string]error{"up": errPlanted},
			want: "up FAILED, a not run, b not run, destroy passed", ran: []string{"up", "destroy"}},
		{name: "an interrupt leaves time for the clean-up", ctx: interrupted,
			want: "up not run, a not run, b not run, destroy passed", ran: []string{"destroy"}},
		{name: "only the chosen scenes and the frame run", change: func(f *frame) { f.chosen = []string{"b"} },
			want: "up passed, a not chosen, b passed, destroy passed", ran: []string{"up", "b", "destroy"}},
		{name: "the frame alone", change: func(f *frame) { f.chosen = []string{"destroy"} },
			want: "up passed, a not chosen, b not chosen, destroy passed", ran: []string{"up", "destroy"}},
		{name: "keep", change: func(f *frame) { f.keep = true },
			want: "up passed, a passed, b passed, destroy skipped", ran: []string{"up", "a", "b"}},
		{name: "a scene may find out that it cannot run", fail: map[string]error{"a": skipError("no browser")},
			want: "up passed, a skipped, b passed, destroy passed", ran: []string{"up", "a", "b", "destroy"}},
		{name: "a photo that is lost fails its scene", change: func(f *frame) { f.client = eye{"b": errPlanted} },
			want: "up passed, a passed, b FAILED, destroy passed", ran: []string{"up", "a", "b", "destroy"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.ctx == nil {
				c.ctx = t.Context()
			}
			results, ran := runFrame(t, c.ctx, c.change, c.fail, "up", "a", "b", "destroy")
			if got := outcomes(results); got != c.want {
				t.Errorf("%s, want %s", got, c.want)
			}
			if !slices.Equal(ran, c.ran) {
				t.Errorf("ran %v, want %v", ran, c.ran)
			}
			for _, r := range results {
				if bad := r.outcome == failed || r.outcome == skipped || r.outcome == notRun; bad != (r.reason != "") {
					t.Errorf("%s is %s with reason %q", r.name, r.outcome, r.reason)
				}
				if logged := strings.Contains(r.reason, "log of "+r.name); logged != (r.outcome == failed) {
					t.Errorf("%s is %s with reason %q", r.name, r.outcome, r.reason)
				}
			}
		})
	}
}

// TestReportIsMadeOfTheResults: each scene has a row, and what was skipped or failed its reason.
func TestReportIsMadeOfTheResults(t *testing.T) {
	results, _ := runFrame(t, t.Context(), nil,
		map[string]error{"bad": errPlanted, "skip": skipError("there is\nno such thing")}, "up", "bad", "skip", "destroy")
	text := document(environment{side: "AWS", commit: "0123 (dirty)", factor: 1, took: 90 * time.Minute,
		monthlyUSD: 73}, results, [][2]string{{"Is it?", "It is."}})
	for _, want := range []string{
		"| Commit | 0123 (dirty) |", "| Cost | about $0.15: $73 a month, for 1.5 hours |",
		"| up (`up`) | that up works | passed | 0.0 s | 7, 0 | 3, 0 |",
		"| bad (`bad`) | that bad works | FAILED | 0.0 s | 7, 0 | 3, 0 |",
		"| skip (`skip`) | that skip works | skipped |  |  |  |",
		"\n## Figures\n\n- `up`: figure of up\n", "\n## Skipped\n\n- `skip`: there is no such thing\n",
		"\n## Failed\n\n- `bad`: planted (log of bad)\n", "|---|---|\n| Is it? | It is. |\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("the report lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "## Not run") {
		t.Error("the report has a section of nothing")
	}
	free := document(environment{side: "rehearsal, moto", factor: 10}, results, nil)
	if strings.Contains(free, "Cost") {
		t.Error("a rehearsal costs something")
	}
}
