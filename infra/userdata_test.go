package main

import (
	"bytes"
	"encoding/base64"
	"os/exec"
	"regexp"
	"strings"
	"testing"
	"time"

	"imagery/app/deploy/instances"
	"imagery/app/deploy/settings"
	"imagery/infra/testing/pulumitest"
)

// assignment reads NAME=value of the script's head.
func assignment(t *testing.T, script, name string) string {
	t.Helper()
	m := regexp.MustCompile(`(?m)^` + name + `=(.*)$`).FindStringSubmatch(script)
	if m == nil {
		t.Fatalf("user-data has no %s", name)
	}
	return m[1]
}

func decoded(t *testing.T, script, name string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(assignment(t, script, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The process must parse what the program renders: a renamed variable must not become a dead fleet.
func TestInstancesRunWithTheSettingsOfTheStack(t *testing.T) {
	for variant := range variants {
		g := graphOf(t, variant)
		for _, role := range roles {
			env := map[string]string{}
			for _, line := range strings.Split(decoded(t, userData(t, g, role), "ENVIRONMENT"), "\n") {
				k, v, _ := strings.Cut(line, "=")
				env[k] = v
			}
			env["IMAGERY_INSTANCE"] = "i-0123" // as the script adds it
			s, err := settings.FromEnv(func(k string) string { return env[k] })
			if err != nil {
				t.Fatalf("%s %s: %v", variant, role, err)
			}
			table, queue, dead, images := g.Of("Table")[0], g.One("Queue", "-queue"), g.One("Queue", "-dead-letters"),
				g.One("BucketV2", "-images")
			listen := map[string]string{"server": ":8080", "worker": "127.0.0.1:8080"}[role]
			if !s.OnAWS() || string(s.Role) != role || s.Listen != listen ||
				s.Table != pulumitest.Mark(table.Type, table.Name, "name") || s.Bucket != images.ID ||
				s.QueueURL != pulumitest.Mark(queue.Type, queue.Name, "url") ||
				s.DLQURL != pulumitest.Mark(dead.Type, dead.Name, "url") ||
				s.Stack != "test" || s.Instance != "i-0123" || !s.Consume || s.UploadLife != 30*24*time.Hour ||
				s.Memory <= 0 {
				t.Errorf("%s %s: %+v", variant, role, s)
			}
			// Both roles refuse what the worker of this stack cannot hold.
			c, _, err := load(t, "test", variants[variant])
			if err != nil {
				t.Fatal(err)
			}
			if most := instances.Types[c.WorkerType].PhotoMemory(); s.PhotoMemory != most || most <= 0 {
				t.Errorf("%s %s: photos may need %d bytes, a worker has %d", variant, role, s.PhotoMemory, most)
			}
			if env["AWS_REGION"] != region || env["AWS_ACCOUNT_ID_ENDPOINT_MODE"] != "disabled" ||
				env["GOMEMLIMIT"] == "" {
				t.Errorf("%s %s: %v", variant, role, env)
			}
		}
	}
}

func TestUserDataNamesTheReleaseAndItsGroup(t *testing.T) {
	g := graphOf(t, "prod")
	object, releases := g.Of("BucketObjectv2")[0], g.One("BucketV2", "-releases")
	for _, role := range roles {
		s := userData(t, g, role)
		sha := assignment(t, s, "SHA")
		if !strings.Contains(s, "IMAGERY_INSTANCE=$INSTANCE") {
			t.Errorf("%s: log lines would not name the instance", role)
		}
		for name, want := range map[string]string{
			"KEY": object.Text("key"), "BUCKET": releases.ID, "GROUP": g.One(asg, "-"+role).Text("name"),
			"HOOK": "launch", "REGION": region, "SSM": "true",
		} {
			if got := assignment(t, s, name); got != want {
				t.Errorf("%s: %s is %s, want %s", role, name, got, want)
			}
		}
		if object.Text("key") != "releases/"+sha+"/imagery" {
			t.Errorf("%s: sha %s, key %s", role, sha, object.Text("key"))
		}
		if agent := decoded(t, s, "AGENT"); !strings.Contains(agent, g.One("LogGroup", "-"+role).Text("name")) {
			t.Errorf("%s: the log agent writes elsewhere: %s", role, agent)
		}
		unit := decoded(t, s, "UNIT")
		if !strings.Contains(unit, "TimeoutStopSec=110\n") || strings.Contains(unit, "{{") {
			t.Errorf("%s: unit\n%s", role, unit)
		}
	}
}

func TestUserDataFitsAndIsShell(t *testing.T) {
	bash, shellcheck := pulumitest.Need(t, "bash"), pulumitest.Need(t, "shellcheck")
	for variant := range variants {
		for _, role := range roles {
			s := userData(t, graphOf(t, variant), role)
			if len(s) > 16<<10 || strings.Contains(s, "{{") || strings.Contains(s, "<no value>") ||
				!strings.HasPrefix(s, "#!/bin/bash\n") {
				t.Errorf("%s %s: %d bytes, head %q", variant, role, len(s), s[:30])
			}
			for _, check := range [][]string{{bash, "-n"}, {shellcheck, "-s", "bash", "-"}} {
				c := exec.Command(check[0], check[1:]...)
				c.Stdin = strings.NewReader(s)
				if out, err := c.CombinedOutput(); err != nil {
					t.Errorf("%s %s: %s: %v\n%s", variant, role, check[0], err, bytes.TrimSpace(out))
				}
			}
		}
	}
	t.Logf("%d bytes", len(userData(t, graphOf(t, "prod"), "worker")))
}
