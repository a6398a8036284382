package main

import (
	"errors"
	"strings"
	"testing"

	"imagery/app/deploy/settings"
	"imagery/app/imagery"
)

func TestFailpointsAreRead(t *testing.T) {
	const id = "6a0e2a4e-5b3c-4b9a-8a77-0f6d3c1b2a90"
	for spec, want := range map[string]struct {
		point imagery.Failpoint
		image string
		nth   int64
	}{
		"after-move":              {imagery.AfterMove, "", 1},
		"mid-filter@" + id:        {imagery.MidFilter, id, 1},
		"before-ack#3":            {imagery.BeforeAck, "", 3},
		"before-ack@" + id + "#2": {imagery.BeforeAck, id, 2},
	} {
		f, err := parseFailpoint(spec)
		if err != nil || f.point != want.point || f.image != want.image || f.nth != want.nth {
			t.Errorf("%s: %+v, %v", spec, f, err)
		}
	}
	for _, spec := range []string{"nowhere", "", "after-move#0", "after-move#x", "after-move#", "#2", "after-move,"} {
		hook, err := failpoints(settings.Settings{Failpoint: "after-move," + spec})
		var usage *settings.UsageError
		if !errors.As(err, &usage) || hook != nil || !strings.Contains(err.Error(), "IMAGERY_FAILPOINT") {
			t.Errorf("%q: %v", spec, err)
		}
	}
}

func TestFailpointsAreOff(t *testing.T) {
	if hook, err := failpoints(settings.Settings{}); hook != nil || err != nil {
		t.Errorf("unarmed: a hook %t, %v", hook != nil, err)
	}
	onAWS := settings.Settings{Failpoint: "after-move", Table: "t", Bucket: "b", QueueURL: "q"}
	if _, err := failpoints(onAWS); err == nil || !strings.Contains(err.Error(), failpointsOnAWS) {
		t.Errorf("in front of real data: %v", err)
	}
	t.Setenv(failpointsOnAWS, "1")
	if _, err := failpoints(onAWS); err != nil {
		t.Errorf("with %s=1: %v", failpointsOnAWS, err)
	}
}

func TestFailpointCountsPasses(t *testing.T) {
	f, err := parseFailpoint("before-ack@x#3")
	if err != nil {
		t.Fatal(err)
	}
	f.pass(imagery.BeforeAck, "x")
	f.pass(imagery.BeforeAck, "y")   // another image
	f.pass(imagery.AfterResult, "x") // another point
	f.pass(imagery.BeforeAck, "x")
	if n := f.passed.Load(); n != 2 {
		t.Errorf("%d passes were counted, want 2; the third kills", n)
	}
}
