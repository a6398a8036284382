package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string // of the error
	}{
		{nil, "name one stack"},
		{[]string{"one", "two"}, "name one stack"},
		{[]string{"--", "-x"}, "no name of a stack"},
		{[]string{"dev", "--scene", "first"}, `there is no scene "first"; the scenes are:` + "\n  first-up "},
		{[]string{"dev", "--config", "profile=prod"}, "is not KEY=VALUE"},
		{[]string{"dev", "--nothing"}, "unknown flag"},
	} {
		_, err := parse(c.args, t.Output())
		if usage := usageError(""); !errors.As(err, &usage) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v, want %q", c.args, err, c.want)
		}
	}
	o, err := parse([]string{"org/imagery/dev", "--scene", "destroy", "--config", "imagery:tags=a=b"}, t.Output())
	if err != nil || o.stack != "org/imagery/dev" || o.report != "" || o.config[0] != "imagery:tags=a=b" {
		t.Errorf("%+v, %v", o, err)
	}
	if o, err = parse([]string{"dev"}, t.Output()); err != nil || o.report != defaultReport {
		t.Errorf("a run of all scenes writes its report to %q, %v", o.report, err)
	}
}

func TestMissingTools(t *testing.T) {
	err := missing(func(name string) (string, error) {
		if name == "pulumi" {
			return "", os.ErrNotExist
		}
		return "/bin/" + name, nil
	})
	if usage := usageError(""); !errors.As(err, &usage) || !strings.Contains(err.Error(), "pulumi: see https://") ||
		strings.Contains(err.Error(), "git") {
		t.Errorf("%v", err)
	}
	if err := missing(func(string) (string, error) { return "", nil }); err != nil {
		t.Error(err)
	}
}

// TestScenes: names are unique, and every scene says what it proves and how long it takes.
func TestScenes(t *testing.T) {
	seen := map[string]bool{}
	for _, s := range scenes {
		if seen[s.name] || s.name == "" || s.title == "" || s.proves == "" || s.takes <= 0 || s.run == nil {
			t.Errorf("scene %+v", s)
		}
		seen[s.name] = true
	}
}

// TestReportHasTheScenes: the report of this checkout was written by a program with the same scenes.
func TestReportHasTheScenes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "..", defaultReport))
	if os.IsNotExist(err) {
		t.Skip("SKIPPED: this checkout has no report of an acceptance run")
	}
	if err != nil {
		t.Fatal(err)
	}
	at := 0
	for _, s := range scenes {
		row := "\n| " + s.title + " (`" + s.name + "`) | " + s.proves + " | "
		i := strings.Index(string(text[at:]), row)
		if i < 0 {
			t.Fatalf("the report lacks, in its order, the row %q: run all scenes again", row)
		}
		at += i + len(row) - 2
	}
	if n := strings.Count(string(text), "`) | "); n != len(scenes) {
		t.Errorf("the report has %d rows for %d scenes", n, len(scenes))
	}
}

func TestSideOf(t *testing.T) {
	of := func(value string) (side, error) {
		return sideOf(func(name string) string { return map[string]string{"IMAGERY_REHEARSAL": value}[name] })
	}
	if s, err := of(""); err != nil || !s.ask || s.factor != 1 || s.caller != nil {
		t.Errorf("AWS: %+v, %v", s, err)
	}
	s, err := of(`{"factor":10,"settings":[["aws:region","us-east-1"]],"emulator":"moto"}`)
	if err != nil || s.ask || s.factor != 10 || s.caller == nil || s.settings[0][1] != "us-east-1" {
		t.Errorf("rehearsal: %+v, %v", s, err)
	}
	for _, bad := range []string{"1", "{}", `{"factor":0}`} {
		if _, err := of(bad); err == nil || !strings.Contains(err.Error(), rehearsalVariable) {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

// TestUntold: what a side cannot tell is a kind of resource.
func TestUntold(t *testing.T) {
	s, err := sideOf(func(string) string { return `{"factor":10}` })
	if err != nil {
		t.Fatal(err)
	}
	for name := range s.untold {
		if !slices.ContainsFunc(network, func(k kind) bool { return k.name == name }) {
			t.Errorf("%s is no kind of resource", name)
		}
	}
}

// TestTwoAtOnce: a second run would destroy the stack of the first.
func TestTwoAtOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "imagery", "acceptance-dev.lock")
	unlock, err := lock(path)
	if err != nil {
		t.Fatal(err)
	}
	_, err = lock(path)
	if usage := usageError(""); !errors.As(err, &usage) || !strings.Contains(err.Error(), path) {
		t.Errorf("a second run: %v", err)
	}
	if err := unlock(); err != nil {
		t.Error(err)
	}
	if unlock, err = lock(path); err != nil {
		t.Fatalf("after the first: %v", err)
	}
	_ = unlock()
}

// TestNotice: a person is told what a run on AWS costs and takes, and nothing goes on without a yes.
func TestNotice(t *testing.T) {
	aws, err := sideOf(func(string) string { return "" })
	if err != nil {
		t.Fatal(err)
	}
	text := notice(aws, options{stack: "dev"}, false)
	if !strings.Contains(text, "stack dev on AWS") || !strings.Contains(text, "minutes") || !strings.Contains(text, "$") ||
		strings.Contains(text, "DESTROYED") || strings.Contains(text, "--keep") {
		t.Error(text)
	}
	text = notice(aws, options{stack: "dev", keep: true}, true)
	if !strings.Contains(text, "stack dev that exists") || !strings.Contains(text, "until you destroy the stack (--keep") {
		t.Error(text)
	}
	text = notice(side{where: "in a rehearsal", factor: 10}, options{stack: "x", scenes: []string{"late-rights"}}, false)
	if !strings.Contains(text, "about 4 minutes") || !strings.Contains(text, "divided by 10") ||
		strings.Contains(text, "$") {
		t.Error(text)
	}
	for answer, want := range map[string]bool{"y\n": true, "Y\n": true, "\n": false, "": false, "yes please\n": false} {
		if agreed(strings.NewReader(answer), &bytes.Buffer{}) != want {
			t.Errorf("%q is not %v", answer, want)
		}
	}
}
