package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// scene is one thing that is done to the stack, and the proof that the service survives it.
type scene struct {
	name   string        // for --scene
	title  string        // in the report
	proves string        // in the report: what must be true afterwards, beside that no accepted photo is lost
	takes  time.Duration // on AWS, about, with the questions before the last scene; for the notice
	run    func(ctx context.Context, t *T) error
}

// scenes is the list of the program, of --help and of the report, in the order in which they run. The first creates the
// stack and the last destroys it, so they are part of every run.
var scenes = []scene{
	{"first-up", "First `up`", "`pulumi up` of an empty stack ends with a URL that works, within 5 minutes (on AWS: 20)",
		12 * time.Minute, firstUp},
	{"late-rights", "A first deploy with rights that arrive late", "the first instances repeat what is denied, and serve",
		10 * time.Second, lateRights},
	{"preview", "A second preview", "it shows no changes", time.Minute, previewIsEmpty},
	{"formats", "Every format", "a photo of each format comes back through the URL, with the right size and colours",
		time.Minute, formats},
	{"page", "The page", "the page at the URL shows photos as sepia that a browser gave it", time.Minute, usePage},
	{"good-release", "A good release under load", "`pulumi up` replaces both groups, and no request fails",
		20 * time.Minute, goodRelease},
	{"bad-boot", "A release that does not boot", "`pulumi up` fails with the reason, no running instance is replaced " +
		"and no request fails", 15 * time.Minute, doesNotBoot},
	{"bad-photos", "A release that boots and spoils photos", "the smoke test takes it back, and no request fails",
		30 * time.Minute, spoilsPhotos},
	{"bad-load", "A release that is slow only under load", "the alarm on latency takes it back, and no request fails",
		30 * time.Minute, slowUnderLoad},
	{"interrupted-up", "An `up` that is interrupted, and one that is killed", "the next `up` finishes the rollout, and " +
		"no request fails", 40 * time.Minute, interruptedUp},
	{"instance-type", "Another instance type", "`pulumi up` replaces the servers, and no request fails",
		20 * time.Minute, instanceType},
	{"instance-killed", "Instances terminated under load", "their groups replace them; only requests in progress on a " +
		"server may fail", 20 * time.Minute, instanceKilled},
	{"machine-stopped", "Instances stopped under load", "replaced through their groups they cost no request; stopped, " +
		"only requests in progress on a server may fail", 40 * time.Minute, machineStopped},
	{"process-killed", "Processes killed under load", "systemd restarts them, and no instance is replaced",
		3 * time.Minute, processKilled},
	{"zone-cut", "A zone cut off the network", "photos come back through the other zone, and afterwards all is as before",
		30 * time.Minute, zoneCut},
	{"poison", "A photo that ends as a dead letter", "the alarm and its message say so, and a redrive processes it",
		20 * time.Minute, poison},
	{"scale-out", "A flood of photos", "the workers grow by their policy, and shrink again through their hooks",
		60 * time.Minute, scaleOut},
	{"destroy", "`destroy`", "nothing is left of the stack, asked service by service", 25 * time.Minute, destroy},
}

// chosen reports whether scene i of a list runs: one that is named, one of the frame, or any if none is named.
func chosen(all []scene, i int, names []string) bool {
	return len(names) == 0 || i == 0 || i == len(all)-1 || slices.Contains(names, all[i].name)
}

// listing has a line for each scene.
func listing(of []scene) string {
	var b strings.Builder
	for _, s := range of {
		fmt.Fprintf(&b, "  %-18s %s\n", s.name, s.proves)
	}
	return b.String()
}
