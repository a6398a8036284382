package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"imagery/infra/testing/pulumitest"
)

// property is something that holds in every variant, and a damage to the graph that must make it red: a row
// that cannot fail proves nothing.
type property struct {
	name   string
	check  func(g *pulumitest.Graph) error
	damage func(g *pulumitest.Graph)
	in     string // variant that is damaged; "prod" unless set
}

func TestProperties(t *testing.T) {
	rows := slices.Concat(networkProperties, dataProperties, fleetProperties, edgeProperties, alarmProperties)
	for _, p := range rows {
		t.Run(p.name, func(t *testing.T) {
			for variant := range variants {
				if err := p.check(graphOf(t, variant)); err != nil {
					t.Errorf("%s: %v", variant, err)
				}
			}
			in := p.in
			if in == "" {
				in = "prod"
			}
			broken := graphOf(t, in).Clone()
			p.damage(broken)
			if p.check(broken) == nil {
				t.Error("the damage was not noticed")
			}
		})
	}
	t.Logf("%d properties in %d variants", len(rows), len(variants))
}

// equal is the check that every resource of a type has a value at a path.
func equal(kind, path, want string) func(*pulumitest.Graph) error {
	return func(g *pulumitest.Graph) error {
		found := g.Of(kind)
		if len(found) == 0 {
			return fmt.Errorf("there is no %s", kind)
		}
		for _, r := range found {
			if got := r.Text(path); got != want {
				return fmt.Errorf("%s: %s is %q, want %q", r.Name, path, got, want)
			}
		}
		return nil
	}
}

// set is the damage that writes a value into the first resource of a type.
func set(kind, path string, value any) func(*pulumitest.Graph) {
	return func(g *pulumitest.Graph) { g.Of(kind)[0].Set(path, value) }
}

// drop is the damage that removes the first resource of a type whose name contains a text.
func drop(kind, contains string) func(*pulumitest.Graph) {
	return func(g *pulumitest.Graph) {
		for _, r := range g.Of(kind) {
			if strings.Contains(r.Name, contains) {
				g.Remove(r)
				return
			}
		}
		panic("nothing to drop: " + kind + " " + contains)
	}
}

// fixed is the row of a property that is one value.
func fixed(kind, path, want string, wrong any) property {
	return property{name: kind + " " + path + " is " + want, check: equal(kind, path, want),
		damage: set(kind, path, wrong)}
}

const world = "0.0.0.0/0"

var peers = []string{"cidrIpv4", "cidrIpv6", "prefixListId", "referencedSecurityGroupId"}

func rules(g *pulumitest.Graph) []*pulumitest.Resource {
	return append(g.Of("SecurityGroupIngressRule"), g.Of("SecurityGroupEgressRule")...)
}

// group is the id of a security group by the end of its name.
func group(g *pulumitest.Graph, suffix string) string { return g.One("SecurityGroup", suffix).ID }

// opens lists the rules of a kind on a security group.
func opens(g *pulumitest.Graph, kind, id string) []*pulumitest.Resource {
	return slices.DeleteFunc(g.Of(kind), func(r *pulumitest.Resource) bool { return r.Text("securityGroupId") != id })
}
