package asgsim

import (
	"encoding/base64"
	"fmt"
	"slices"
	"strconv"
	"time"
)

// TemplateVersion is one version of a launch template.
type TemplateVersion struct {
	Number              int
	Image, InstanceType string
	UserData            string // before base64
	Default             bool
}

// SetTemplate sets the versions of a launch template. Instance refreshes to other versions are then rejected.
func (s *Simulator) SetTemplate(id string, versions ...TemplateVersion) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.templates[id] = versions
}

// Consoler is implemented by a Driver that keeps the console output of machines.
type Consoler interface {
	Console(id string) string
}

// describeTemplateVersions: "You can describe all versions, individual versions, or a range of versions." Ranges are
// not implemented.
func (s *Simulator) describeTemplateVersions(f form) ([]node, error) {
	id := f.of("LaunchTemplateId")
	s.mu.Lock()
	all := slices.Clone(s.templates[id])
	s.mu.Unlock()
	if all == nil {
		return nil, &apiError{"InvalidLaunchTemplateId.NotFound",
			fmt.Sprintf("The specified launch template, with template ID %s, does not exist.", id)}
	}
	latest := slices.MaxFunc(all, func(a, b TemplateVersion) int { return a.Number - b.Number }).Number
	want := f.flat("LaunchTemplateVersion")
	out := el("launchTemplateVersionSet")
	if want == nil {
		for _, v := range all {
			out.Kids = append(out.Kids, el("item", v.describe(id)...))
		}
	}
	for _, w := range want {
		at := slices.IndexFunc(all, func(v TemplateVersion) bool {
			return strconv.Itoa(v.Number) == w || w == "$Latest" && v.Number == latest || w == "$Default" && v.Default
		})
		if at < 0 {
			return nil, &apiError{"InvalidLaunchTemplateId.VersionNotFound",
				fmt.Sprintf("Could not find the specified version %s for the launch template with ID %s.", w, id)}
		}
		out.Kids = append(out.Kids, el("item", all[at].describe(id)...))
	}
	return []node{out}, nil
}

func (v TemplateVersion) describe(id string) []node {
	data := el("launchTemplateData")
	for _, f := range [][2]string{{"imageId", v.Image}, {"instanceType", v.InstanceType},
		{"userData", base64.StdEncoding.EncodeToString([]byte(v.UserData))}} {
		if f[1] != "" {
			data.Kids = append(data.Kids, text(f[0], f[1]))
		}
	}
	return []node{text("launchTemplateId", id), number("versionNumber", v.Number),
		text("defaultVersion", strconv.FormatBool(v.Default)), data}
}

// getConsole: "Gets the console output for the specified instance." "The output is encoded in base64". AWS keeps the
// output of a terminated instance for about an hour, the simulator keeps it until the end.
func (s *Simulator) getConsole(f form) ([]node, error) {
	id := f.of("InstanceId")
	out := []node{text("instanceId", id), instant("timestamp", time.Now())}
	if c, ok := s.Driver.(Consoler); ok {
		if written := c.Console(id); written != "" {
			out = append(out, text("output", base64.StdEncoding.EncodeToString([]byte(written))))
		}
	}
	return out, nil
}
