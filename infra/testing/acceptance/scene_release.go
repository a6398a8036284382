package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"imagery/infra/testing/traffic"
)

// deploy makes a binary the stack's release and runs `pulumi up`.
func (t *T) deploy(ctx context.Context, b binary) (string, error) {
	if err := t.calm(ctx); err != nil {
		return "", err
	}
	if err := t.use(ctx, b.path); err != nil {
		return "", err
	}
	return t.up(ctx)
}

// use makes the next up deploy a binary; without a path, the one that it builds itself.
func (t *T) use(ctx context.Context, path string) error {
	t.artifact = path
	if path == "" {
		_, err := t.pulumi(ctx, "config", "rm", "imagery:artifact")
		return err
	}
	return t.set(ctx, "imagery:artifact", path)
}

// running returns the release that the servers run, as a user sees it.
func (t *T) running(ctx context.Context) (string, error) {
	res, err := t.service.Expect(ctx, "GET", "/version", nil, nil, 200)
	return strings.TrimSpace(string(res.Body)), err
}

// goodRelease rolls a release out that differs from the running one in its name only.
func goodRelease(ctx context.Context, t *T) error {
	b, err := t.build(ctx, "good", nil)
	if err != nil {
		return err
	}
	begun := time.Now()
	if _, err := t.deploy(ctx, b); err != nil {
		return err
	}
	took := time.Since(begun)
	if err := t.serve(ctx); err != nil {
		return err
	}
	if err := t.settled(ctx, b.sha); err != nil {
		return err
	}
	t.figure("`pulumi up` replaced both groups within %.0f s", took.Seconds())
	return t.unharmed()
}

// doesNotBoot is a release whose instances never get into service.
func doesNotBoot(ctx context.Context, t *T) error {
	path := filepath.Join(t.work, "no-boot")
	if err := os.WriteFile(path, []byte("#!/bin/sh\nexit 1\n"), 0o755); err != nil {
		return err
	}
	b, err := hashed(path)
	if err != nil {
		return err
	}
	before, err := t.instances(ctx)
	if err != nil {
		return err
	}
	if err := t.takenBack(ctx, b, "run the self-test"); err != nil {
		return err
	}
	after, err := t.instances(ctx)
	if err == nil && !slices.Equal(before, after) {
		err = fmt.Errorf("instances were %v and are %v", before, after)
	}
	if err != nil {
		return err
	}
	t.figure("no running instance was replaced")
	return t.unharmed()
}

// spoilsPhotos is a release that boots and processes photos to something else.
func spoilsPhotos(ctx context.Context, t *T) error {
	t.spoils = true
	b, err := t.build(ctx, "spoils", map[string]change{spoiled.file: spoiled})
	if err != nil {
		return err
	}
	if err := t.takenBack(ctx, b, "the smoke test failed"); err != nil {
		return err
	}
	// Those that were accepted before the release was taken back may be wrong, but none after it.
	for _, p := range t.pictures.formats {
		if err := t.send(ctx, t.service, p); err != nil {
			return err
		}
	}
	return t.unharmed()
}

// Load under which the slow release shows. Alarms on percentiles need 200 requests in each period, the steady client's
// included, and most connections wait for an answer. An upload costs the emulator of a rehearsal about ten calls, and
// the description of a photo one; with many of them the good release is slow as well. So the persistent connections
// get the page, which the server has in its binary, and only the others, a tenth as many, upload.
const loadPerSecond, loadConnections = 30, 72

// slowUnderLoad is a release that passes every test of single photos.
func slowUnderLoad(ctx context.Context, t *T) error {
	b, err := t.build(ctx, "slow", map[string]change{slowTakesPlaceOf: slow})
	if err != nil {
		return err
	}
	load := &traffic.Load{Address: t.load.Address, Photo: t.load.Photo, NewID: newID, PerSecond: loadPerSecond,
		Connections: loadConnections, Path: "/"}
	load.Start()
	begun := time.Now()
	err = t.takenBack(ctx, b, "server-latency")
	for _, id := range load.Stop() {
		t.accepted(id, t.pictures.steady)
	}
	if err != nil {
		return err
	}
	requests := load.Since(begun)
	bad := slices.DeleteFunc(slices.Clone(requests), traffic.Request.OK)
	slowest := slices.MaxFunc(requests, func(a, b traffic.Request) int { return int(duration(a) - duration(b)) })
	t.figure("%d requests of a client with %d a second, %d failed, the slowest took %.1f s", len(requests), loadPerSecond,
		len(bad), duration(slowest).Seconds())
	if len(bad) > 0 {
		return fmt.Errorf("a request failed: %+v", bad[0])
	}
	return t.unharmed()
}

func duration(r traffic.Request) time.Duration { return r.End.Sub(r.Begin) }

// rolledBack matches what a rollout says when it has taken a release back.
var rolledBack = regexp.MustCompile(`release \S+ was rolled back[^\n]*`)

// takenBack deploys a release that must fail, for a reason that `pulumi up` must name, and waits until both groups run
// what they ran before. It leaves the settings as they were.
func (t *T) takenBack(ctx context.Context, b binary, reason string) error {
	was, err := t.running(ctx)
	if err != nil {
		return err
	}
	begun := time.Now()
	artifact := t.artifact
	text, err := t.deploy(ctx, b)
	took := time.Since(begun)
	restore := t.use(ctx, artifact)
	said := rolledBack.FindString(text)
	switch {
	case err == nil:
		err = errors.New("pulumi up accepted the bad release")
	case said == "":
		err = fmt.Errorf("pulumi up failed, but did not roll back: %w", err)
	case !strings.Contains(text, reason):
		err = fmt.Errorf("pulumi up does not say %q: %w", reason, err)
	default:
		err = nil
	}
	if err := errors.Join(err, restore); err != nil {
		return err
	}
	t.figure("`pulumi up` failed after %.0f s: %s", took.Seconds(), said)
	return t.settled(ctx, was)
}
