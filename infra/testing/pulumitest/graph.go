package pulumitest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Graph holds the resources that a program registered.
type Graph struct{ Resources []*Resource }

// Resource is one registration. Inputs holds plain values: maps, slices, strings, numbers.
type Resource struct {
	Type, Name, ID string
	Inputs         map[string]any
	Parent         string // URN
	Dependencies   []string
	Ignore         []string
	Provider       string
	DeleteTimeout  string
	Protect        bool
	RetainOnDelete bool
	// DeleteBeforeReplace is set by the program; a provider may require it as well.
	DeleteBeforeReplace bool
}

// URN returns the part of the URN that the program decides: types of the parents, type, name.
func (r *Resource) URN() string {
	if parts := strings.Split(r.Parent, "::"); len(parts) == 4 && !strings.HasPrefix(parts[2], "pulumi:pulumi:Stack") {
		return parts[2] + "$" + r.Type + "::" + r.Name
	}
	return r.Type + "::" + r.Name
}

// Get returns the value at a path such as "launchTemplate.version" or "rules.0.filter", or nil.
func (r *Resource) Get(path string) any {
	var at any = r.Inputs
	for _, step := range strings.Split(path, ".") {
		switch v := at.(type) {
		case map[string]any:
			at = v[step]
		case []any:
			i, err := strconv.Atoi(step)
			if err != nil || i >= len(v) {
				return nil
			}
			at = v[i]
		default:
			return nil
		}
	}
	return at
}

// Set sets the value at a path whose parents exist. A nil value removes a key.
func (r *Resource) Set(path string, value any) {
	i := strings.LastIndex(path, ".")
	var parent any = r.Inputs
	if i >= 0 {
		parent = r.Get(path[:i])
	}
	switch p := parent.(type) {
	case map[string]any:
		if value == nil {
			delete(p, path[i+1:])
		} else {
			p[path[i+1:]] = value
		}
	case []any:
		n, err := strconv.Atoi(path[i+1:])
		if err != nil {
			panic(err)
		}
		p[n] = value
	default:
		panic(fmt.Sprintf("%s has nothing at %s", r.Name, path))
	}
}

// Text returns the value at a path as a string: "443" for 443, "" for none.
func (r *Resource) Text(path string) string {
	switch v := r.Get(path).(type) {
	case nil:
		return ""
	case string:
		return v
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	default:
		return fmt.Sprint(v)
	}
}

// Number returns the number at a path, or -1.
func (r *Resource) Number(path string) float64 {
	if v, ok := r.Get(path).(float64); ok {
		return v
	}
	return -1
}

// Texts returns the list at a path.
func (r *Resource) Texts(path string) []string {
	list, _ := r.Get(path).([]any)
	var out []string
	for _, v := range list {
		out = append(out, fmt.Sprint(v))
	}
	return out
}

// Of returns the resources of a type. The end of the type is enough, such as "VpcEndpoint" or
// "autoscaling/group:Group".
func (g *Graph) Of(kind string) []*Resource {
	var out []*Resource
	for _, r := range g.Resources {
		if r.Type == kind || strings.HasSuffix(r.Type, ":"+kind) {
			out = append(out, r)
		}
	}
	return out
}

// One returns the only resource of a type whose name ends with suffix. It panics unless there is exactly one.
func (g *Graph) One(kind, suffix string) *Resource {
	found := slices.DeleteFunc(g.Of(kind), func(r *Resource) bool { return !strings.HasSuffix(r.Name, suffix) })
	if len(found) != 1 {
		panic(fmt.Sprintf("%d resources %s named ...%s, want one", len(found), kind, suffix))
	}
	return found[0]
}

// Remove removes a resource.
func (g *Graph) Remove(r *Resource) {
	g.Resources = slices.DeleteFunc(g.Resources, func(o *Resource) bool { return o == r })
}

// Clone returns a deep copy, for tests that change a graph.
func (g *Graph) Clone() *Graph {
	b, err := json.Marshal(g)
	if err != nil {
		panic(err)
	}
	out := &Graph{}
	if err := json.Unmarshal(b, out); err != nil {
		panic(err)
	}
	return out
}

// DependsOn reports whether r depends on a resource of a type whose name ends with suffix.
func (r *Resource) DependsOn(kind, suffix string) bool {
	return slices.ContainsFunc(r.Dependencies, func(urn string) bool {
		return strings.Contains(urn, ":"+kind+"::") && strings.HasSuffix(urn, suffix)
	})
}
