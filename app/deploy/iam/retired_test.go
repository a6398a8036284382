package iam_test

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"imagery/app/deploy/iam"
)

var update = flag.Bool("update", false, "record the permissions of this release, as the last step of cutting it")

// released is the file with the permissions of the last release, one action per line; empty before the first release.
const released = "testdata/released.txt"

func lines(role string, lists ...[]iam.Action) []string {
	var out []string
	for _, c := range slices.Concat(lists...) {
		out = append(out, strings.TrimSpace(fmt.Sprint(role, " ", c.Name(), " ", c.Resource, " ", c.LeadingKey)))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// The test fails if an action is removed without retiring it, or if a release is cut without emptying Retired.
func TestRetiredActionsAreThoseRemovedSinceTheLastRelease(t *testing.T) {
	now := slices.Concat(lines("server", iam.Server, iam.Selftest), lines("worker", iam.Worker, iam.Selftest),
		lines("boot", iam.Boot))
	if *update {
		if err := os.WriteFile(released, []byte(strings.Join(now, "\n")+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	b, err := os.ReadFile(released)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, l := range strings.Split(strings.TrimSpace(string(b)), "\n") {
		if l != "" && !slices.Contains(now, l) {
			want = append(want, l)
		}
	}
	got := slices.Concat(lines("server", iam.Retired.Server), lines("worker", iam.Retired.Worker),
		lines("boot", iam.Retired.Boot))
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("iam.Retired is\n%s\nbut the actions removed since the last release are\n%s",
			strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
