package rollout

import (
	"context"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
)

// progress writes the lines that tell an operator what a rollout does. Only log may be called by several goroutines.
type progress struct {
	write  func(line string) // nil: discard
	logged map[string]bool
}

func (p *progress) log(format string, args ...any) {
	if p.write != nil {
		p.write(fmt.Sprintf(format, args...))
	}
}

// once logs a line unless the same key has been logged before.
func (p *progress) once(key, format string, args ...any) {
	if !p.logged[key] {
		p.logged[key] = true
		p.log(format, args...)
	}
}

// logChanges logs what changed since the last call: a line per instance, and one for the newest refresh. The first call
// for a group logs only a refresh in progress.
func (p *progress) logChanges(g *group) {
	now := map[string]string{}
	for _, i := range g.instances {
		now[i.id] = i.String()
		if g.logged != nil && g.logged[i.id] != now[i.id] {
			p.log("%s %s: %s", g.role, i.id, now[i.id])
		}
	}
	for id := range g.logged {
		if now[id] == "" {
			p.log("%s %s: gone", g.role, id)
		}
	}
	g.logged = now
	if len(g.refreshes) == 0 {
		return
	}
	f := g.refreshes[0]
	line := fmt.Sprintf("%s to version %s: %s", g.role, f.version(), f.Status)
	if reason := aws.ToString(f.StatusReason); reason != "" {
		line += ", " + reason
	}
	if line != g.loggedRefresh && (g.loggedRefresh != "" || !f.ended()) {
		p.log("%s", line)
	}
	g.loggedRefresh = line
}

// short returns the first 12 digits of a hash.
func short(release string) string { return release[:min(12, len(release))] }

// sleep waits for d, or returns the cause if ctx ends first.
func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
