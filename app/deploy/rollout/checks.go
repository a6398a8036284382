package rollout

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// launchProcess is the process that pause suspends.
const launchProcess = "Launch"

// needed lists the processes without which a group cannot replace instances or a rollout cannot see a new one fail.
// Others (AZRebalance, AlarmNotification, ScheduledActions) may stay suspended.
var needed = []string{launchProcess, "Terminate", "AddToLoadBalancer", "HealthCheck", "InstanceRefresh",
	"ReplaceUnhealthy"}

// checkSuspended returns a *rejected if a needed process of the group is suspended: an operator did that, or AWS, which
// does it to "groups that have been trying to launch instances for over 24 hours but have not succeeded". A rollout
// would wait for it in vain.
func (c *controller) checkSuspended(g *group) error {
	var lines []string
	for _, p := range slices.Sorted(maps.Keys(g.suspended)) {
		why := g.suspended[p]
		if p == launchProcess && c.paused(g) {
			continue // unpause resumes it when the group is rolled
		}
		if slices.Contains(needed, p) {
			lines = append(lines, fmt.Sprintf("%s (%s)", p, why))
		} else {
			c.once("suspended "+g.Name+p, "%s: process %s is suspended: %s", g.role, p, why)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	return &rejected{fmt.Sprintf("processes of Auto Scaling group %s are suspended: %s. Resume them with "+
		"imagery rollout resume, and run this again", g.Name, strings.Join(lines, ", "))}
}

// checkProcesses is checkSuspended for both groups, also when there is nothing to roll out.
func (c *controller) checkProcesses(context.Context) (bool, error) {
	return false, cmp.Or(c.checkSuspended(c.workers), c.checkSuspended(c.servers))
}

// checkBlocked returns a *rejected for a release that is blocked or was rolled back before, so that an unrelated update
// of the stack does not roll it out again. A failed release that had nothing to roll back to may be tried again.
func (c *controller) checkBlocked(context.Context) (bool, error) {
	if c.resumed {
		return false, nil
	}
	rec := c.journal.latest()
	name, why := short(c.want.Release), ""
	if h, blocked := rec.Blocked[c.want.Release]; blocked {
		why = fmt.Sprintf("%s blocked release %s on %s: %s", h.By, name, h.Since.Format(time.RFC3339), h.Why)
	} else if e := rec.Newest(func(e record.Entry) bool { return e.Release == c.want.Release }); e != nil &&
		e.Result.Bad() && len(e.Old) > 0 && (e.From != e.Release || c.same(*e)) {
		why = fmt.Sprintf("release %s failed on %s (%s): %s", name, e.Begin.Format(time.RFC3339), e.Result, e.Reason)
	}
	switch {
	case why == "":
		return false, nil
	case c.Force:
		c.log("forced although %s", why)
		return false, nil
	}
	return false, &rejected{why + ". Nothing was changed. Roll out another release, or force this one " +
		"(imagery:rolloutForce true, or -force)"}
}

// alarmsTimeout bounds how long new alarms may take to leave the state INSUFFICIENT_DATA.
const alarmsTimeout = 10 * time.Minute

// preflight returns an error for everything that would make the rollout fail and can be known before it changes
// anything: a version that is missing or starts another release, a binary that is missing, an alarm in state ALARM.
func (c *controller) preflight(ctx context.Context) (bool, error) {
	if c.resumed {
		return false, nil
	}
	c.releases = map[settings.Role]string{}
	for _, g := range c.groups {
		want := c.want.Versions[g.role]
		known, err := c.observe.templates(ctx, g, want, g.version)
		if err != nil {
			return false, err
		}
		t, ok := known[want]
		switch {
		case !ok:
			return false, fmt.Errorf("launch template %s of the %ss has no version %s", g.template, g.role, want)
		case !strings.HasPrefix(t.image, "ami-"):
			return false, fmt.Errorf("version %s of launch template %s has the image %q, which AWS cannot roll back: "+
				"use the id of an image, ami-…", want, g.template, t.image)
		case t.release != c.want.Release:
			return false, fmt.Errorf("version %s of launch template %s starts release %q, not %s", want, g.template,
				short(t.release), short(c.want.Release))
		}
		if err := c.checkReversible(g, known[g.version]); err != nil {
			return false, err
		}
		object := &s3.HeadObjectInput{Bucket: &t.bucket, Key: &t.key}
		if _, err := c.Clients.Objects.HeadObject(ctx, object); err != nil {
			return false, wrap(err, "find the release that the %ss download, s3://%s/%s", g.role, t.bucket, t.key)
		}
		c.releases[g.role] = known[g.version].release
	}
	return false, c.poll(ctx, func() (bool, error) {
		ok, err := c.alarmsOK(ctx)
		if f := (*Error)(nil); errors.As(err, &f) {
			return false, &rejected{f.Reason + ". Nothing was changed. Fix its cause, or force the rollout " +
				"(imagery:rolloutForce true, or -force)"}
		}
		if err == nil && !ok && time.Since(c.began) > alarmsTimeout {
			return false, &rejected{fmt.Sprintf("alarms that judge the release still have insufficient data after %s; do "+
				"their metrics arrive? Nothing was changed", alarmsTimeout)}
		}
		return ok, err
	})
}

// checkReversible returns an error for a group that AWS could not roll back to its current version: it rolls back to
// versions with a number and an image id only.
func (c *controller) checkReversible(g *group, now template) error {
	problem := ""
	switch {
	case number(g.version) == 0:
		problem = fmt.Sprintf("group %s has version %q, which is not a number", g.Name, g.version)
	case c.firstDeploy:
	case now.number == "":
		problem = fmt.Sprintf("group %s has version %s of launch template %s, which does not exist any more", g.Name,
			g.version, g.template)
	case !strings.HasPrefix(now.image, "ami-"):
		problem = fmt.Sprintf("version %s of launch template %s, which group %s has, has the image %q", g.version, g.template,
			g.Name, now.image)
	}
	if problem == "" {
		return nil
	}
	return fmt.Errorf("%s, so that AWS could not roll back. Nothing was changed. Set the group to the number of a "+
		"version that its instances could run, with an image id, ami-…: aws autoscaling update-auto-scaling-group "+
		"--auto-scaling-group-name %s --launch-template LaunchTemplateId=%s,Version=N", problem, g.Name, g.template)
}
