package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"
)

// revision returns the commit of the checkout, with "dirty" if files differ from it. The report itself does not count.
func (t *test) revision(ctx context.Context) (string, error) {
	git := func(args ...string) (string, error) {
		cmd := exec.CommandContext(ctx, "git", args...)
		cmd.Dir = t.checkout
		out, err := cmd.Output()
		if err != nil {
			return "", fmt.Errorf("read the commit of the checkout: %w", err)
		}
		return strings.TrimSpace(string(out)), nil
	}
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	changed, err := git("status", "--porcelain", "--", ".", ":!"+defaultReport)
	if err == nil && changed != "" {
		commit += " (dirty)"
	}
	return commit, err
}

// environment are the facts of a run that the report names.
type environment struct {
	side, commit, date       string
	kernel, pulumi, provider string
	region                   string
	cores, factor            int
	took                     time.Duration
	monthlyUSD               float64 // of the stack; 0 in a rehearsal
}

var providerLine = regexp.MustCompile(`(?m)^\s+github\.com/pulumi/pulumi-aws/sdk/v\d+ (\S+)$`)

// environment reads the facts. What cannot be read is "unknown".
func (t *test) environment(ctx context.Context) environment {
	e := environment{side: t.side.name, commit: t.commit, date: t.begun.UTC().Format(time.DateOnly), kernel: "unknown",
		pulumi: "unknown", provider: "unknown", region: t.current.Region, cores: runtime.NumCPU(), factor: t.side.factor,
		took: time.Since(t.begun)}
	if t.side.emulator != "" {
		e.side += ", " + t.side.emulator
	} else {
		e.monthlyUSD = t.current.MonthlyCostUSD.Total
	}
	if text, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		e.kernel = runtime.GOOS + " " + strings.TrimSpace(string(text))
	}
	if text, err := exec.CommandContext(ctx, "pulumi", "version").Output(); err == nil {
		e.pulumi = strings.TrimSpace(string(text))
	}
	if text, err := os.ReadFile(filepath.Join(t.checkout, "go.mod")); err == nil {
		if m := providerLine.FindSubmatch(text); m != nil {
			e.provider = string(m[1])
		}
	}
	return e
}

// monthHours is the month of the stack's cost estimate.
const monthHours = 730

// render returns the report of a run.
func (t *test) render(ctx context.Context, results []result) string {
	text := document(t.environment(context.WithoutCancel(ctx)), results, t.answered)
	return strings.ReplaceAll(text, t.work+"/", "") // the report is not about this computer's folders
}

// document is the text of the report.
func document(e environment, results []result, answers [][2]string) string {
	var b strings.Builder
	p := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	p("# Acceptance run\n")
	p("Written by `scripts/acceptance`; [rehearsal.md](rehearsal.md#the-acceptance-run) explains it. Do not edit it.\n")
	p("| | |\n|---|---|")
	p("| Side | %s |", e.side)
	p("| Commit | %s |", e.commit)
	p("| Date | %s |", e.date)
	if e.region != "" {
		p("| Region | %s |", e.region)
	}
	p("| This computer | %s, %d cores |", e.kernel, e.cores)
	p("| Pulumi, AWS provider | %s, %s |", e.pulumi, e.provider)
	p("| AWS's waiting times | divided by %d |", e.factor)
	p("| Duration | %.1f minutes |", e.took.Minutes())
	if e.monthlyUSD > 0 {
		p("| Cost | about $%.2f: $%.0f a month, for %.1f hours |", e.monthlyUSD/monthHours*e.took.Hours(), e.monthlyUSD,
			e.took.Hours())
	}
	p("")
	p("A client that repeats no request sends up to %d requests a second during all scenes. \"Photos\" are those that "+
		"were accepted during a scene; each must end processed, with the right size and colours.\n", steadyPerSecond)
	p("| Scene | Proves | Result | Time | Requests, failed | Photos, lost |\n|---|---|---|---|---|---|")
	for _, r := range results {
		took, requests, photos := "", "", ""
		if r.took > 0 {
			took = fmt.Sprintf("%.1f s", r.took.Seconds())
			requests = fmt.Sprintf("%d, %d", r.seen.requests, r.seen.failed)
			photos = fmt.Sprintf("%d, %d", r.seen.accepted, r.seen.lost)
		}
		p("| %s (`%s`) | %s | %s | %s | %s | %s |", r.title, r.name, r.proves, r.outcome, took, requests, photos)
	}
	section := func(title string, lines func(r result) []string) {
		first := true
		for _, r := range results {
			for _, line := range lines(r) {
				if first {
					p("\n## %s\n", title)
					first = false
				}
				p("- `%s`: %s", r.name, line)
			}
		}
	}
	section("Figures", func(r result) []string { return r.figures })
	section("Skipped", func(r result) []string { return reasons(r, skipped) })
	section("Not run", func(r result) []string { return reasons(r, notRun) })
	section("Failed", func(r result) []string { return reasons(r, failed) })
	if len(answers) > 0 {
		p("\n## Questions that only AWS answers\n\n| Question | Answer |\n|---|---|")
	}
	for _, a := range answers {
		p("| %s | %s |", a[0], a[1])
	}
	return b.String()
}

// reasons returns the reason of a result with an outcome, on one line.
func reasons(r result, outcome string) []string {
	if r.outcome != outcome {
		return nil
	}
	return []string{strings.Join(strings.Fields(r.reason), " ")}
}
