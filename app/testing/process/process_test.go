package process

import "testing"

// TestKilledNeedsEvidence: only SIGKILL counts as a kill, and a line that was not written is not found.
func TestKilledNeedsEvidence(t *testing.T) {
	for name, c := range map[string]struct {
		script string
		killed bool
	}{
		"ends by itself": {"echo listening on http://127.0.0.1:1; exit 0", false},
		"is terminated":  {"echo listening on http://127.0.0.1:1; kill -TERM $$", false},
		"is killed":      {"echo listening on http://127.0.0.1:1; kill -KILL $$", true},
	} {
		p, err := Command{Exe: "/bin/sh", Args: []string{"-c", c.script}}.Start(t.Context())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if err := p.Wait(t.Context()); err != nil || p.Killed() != c.killed {
			t.Errorf("%s: killed %t, %v", name, p.Killed(), err)
		}
		if _, err := p.AwaitLine(t.Context(), "failpoint x: pass"); err == nil {
			t.Errorf("%s: a line that was not written was found", name)
		}
	}
}
