package rollout

import (
	"context"

	"github.com/aws/aws-sdk-go-v2/aws"

	"imagery/app/deploy/record"
	"imagery/app/deploy/settings"
)

// Report is the result of Status.
type Report struct {
	Record record.Record `json:"record"`
	Groups []GroupReport `json:"groups"`
}

// GroupReport describes one group.
type GroupReport struct {
	Role    settings.Role `json:"role"`
	Name    string        `json:"name"`
	Version string        `json:"version"` // launch template version of new instances
	Release string        `json:"release"` // of that version; empty: unknown
	Minimum int           `json:"minimum"`
	// Instances by id.
	Instances map[string]InstanceReport `json:"instances"`
	Refresh   *RefreshReport            `json:"refresh,omitempty"` // the newest; nil: none
	// Suspended processes, with the reason of each.
	Suspended map[string]string `json:"suspended,omitempty"`
}

// InstanceReport describes one instance.
type InstanceReport struct {
	Version string `json:"version"`
	State   string `json:"state"` // lifecycle state
	Healthy bool   `json:"healthy"`
}

// RefreshReport describes an instance refresh.
type RefreshReport struct {
	Version string `json:"version"` // target version
	Status  string `json:"status"`
	Reason  string `json:"reason,omitempty"`
	Active  bool   `json:"active"`
}

// Status reports what runs and what is being rolled out. It changes nothing and needs no lock.
func Status(ctx context.Context, o Options) (Report, error) {
	c := newController(o, Target{})
	if err := c.journal.read(ctx); err != nil {
		return Report{}, err
	}
	if _, err := c.describe(ctx); err != nil {
		return Report{}, err
	}
	out := Report{Record: c.journal.latest()}
	for _, g := range c.groups {
		known, err := c.observe.templates(ctx, g, g.version)
		if err != nil {
			return Report{}, err
		}
		one := GroupReport{Role: g.role, Name: g.Name, Version: g.version, Release: known[g.version].release, Minimum: g.min,
			Instances: map[string]InstanceReport{}, Suspended: g.suspended}
		for _, i := range g.instances {
			one.Instances[i.id] = InstanceReport{i.version, string(i.state), i.healthy}
		}
		if len(g.refreshes) > 0 {
			f := g.refreshes[0]
			one.Refresh = &RefreshReport{f.version(), string(f.Status), aws.ToString(f.StatusReason), !f.ended()}
		}
		out.Groups = append(out.Groups, one)
	}
	return out, nil
}
