package rollout

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/s3"

	"imagery/app/deploy/settings"
)

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
			return false, wrap(err, "find release %s in its bucket", short(t.release))
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
	set := fmt.Sprintf("aws autoscaling update-auto-scaling-group --auto-scaling-group-name %s "+
		"--launch-template LaunchTemplateId=%s,Version=N", g.Name, g.template)
	switch {
	case number(g.version) == 0:
		return fmt.Errorf("group %s has version %q, which is not a number, so that AWS could not roll back. Nothing was "+
			"changed. Set it to the number of the version that its instances run: %s", g.Name, g.version, set)
	case c.firstDeploy:
		return nil
	case now.number == "":
		return fmt.Errorf("group %s has version %s of launch template %s, which does not exist any more, so that AWS could "+
			"not roll back. Nothing was changed. Set it to one that exists: %s", g.Name, g.version, g.template, set)
	case !strings.HasPrefix(now.image, "ami-"):
		return fmt.Errorf("version %s of launch template %s, which group %s has, has the image %q, so that AWS could not "+
			"roll back. Nothing was changed. Set the group to a version with an image id, ami-…: %s",
			g.version, g.template, g.Name, now.image, set)
	}
	return nil
}
