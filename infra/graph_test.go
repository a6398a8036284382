package main

import (
	"encoding/base64"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"imagery/infra/testing/pulumitest"
)

var update = flag.Bool("update", false, "write the golden files anew")

// golden compares a text with testdata/<name>.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(want) != got {
		t.Errorf("%s is not up to date (go test ./infra -update, then read the diff):\n%s", path, lineDiff(string(want), got))
	}
}

func lineDiff(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	var b strings.Builder
	for _, l := range w {
		if !slices.Contains(g, l) {
			b.WriteString("- " + l + "\n")
		}
	}
	for _, l := range g {
		if !slices.Contains(w, l) {
			b.WriteString("+ " + l + "\n")
		}
	}
	return b.String()
}

// Pulumi replaces a resource whose URN changes. The golden file makes every such change visible in a review.
func TestURNsAreStable(t *testing.T) {
	for _, variant := range slices.Sorted(maps.Keys(variants)) {
		var lines []string
		for _, r := range graphOf(t, variant).Resources {
			lines = append(lines, r.URN())
		}
		golden(t, "urns-"+variant+".txt", strings.Join(lines, "\n")+"\n")
	}
}

func TestEveryResourceHasAComponentAndTheTaggingProvider(t *testing.T) {
	for variant := range variants {
		for _, r := range graphOf(t, variant).Resources {
			if !strings.HasPrefix(r.Type, "aws:") {
				continue
			}
			if !strings.Contains(r.URN(), "imagery:infra:") && r.Type != "aws:s3/bucketObjectv2:BucketObjectv2" {
				t.Errorf("%s: %s has no parent component", variant, r.URN())
			}
			if !strings.Contains(r.Provider, "pulumi:providers:aws::aws::") {
				t.Errorf("%s: %s uses provider %q", variant, r.URN(), r.Provider)
			}
		}
	}
}

// Only these inputs may be ignored.
func TestIgnoredChanges(t *testing.T) {
	want := map[string]string{
		// set by the rollout; by the hook resources; by scaling
		"dev Group":          "launchTemplate.version initialLifecycleHooks desiredCapacity",
		"prod Group":         "launchTemplate.version initialLifecycleHooks desiredCapacity",
		"dev LaunchTemplate": "imageId",          // looked up: used only for a new fleet
		"dev Subnet":         "availabilityZone", // looked up: used only for a new subnet
		"nat Group":          "launchTemplate.version initialLifecycleHooks desiredCapacity",
		"nat LaunchTemplate": "imageId",
		"nat Subnet":         "availabilityZone",
		"natPerAz Group":     "launchTemplate.version initialLifecycleHooks desiredCapacity",
		"natPerAz Subnet":    "availabilityZone", // amiFollow: the image is not ignored
	}
	got := map[string]string{}
	for variant := range variants {
		for _, r := range graphOf(t, variant).Resources {
			if len(r.Ignore) > 0 {
				got[variant+" "+r.Type[strings.LastIndex(r.Type, ":")+1:]] = strings.Join(r.Ignore, " ")
			}
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("ignored:\n%v\nwant:\n%v", got, want)
	}
}

// Two stacks can be in one account and region, so fixed physical names must contain the stack's name.
func TestTwoStacksShareNoName(t *testing.T) {
	b := binary(t, "a release")
	for _, variant := range []string{"dev", "prod"} {
		one, two := physicalNames(run(t, "one", variants[variant], b)), physicalNames(run(t, "two", variants[variant], b))
		if len(one) < 6 {
			t.Errorf("%s: only %v have fixed names, the groups, templates and log groups should", variant, one)
		}
		for n := range one {
			if two[n] && !perOwner[n] {
				t.Errorf("%s: both stacks use the name %q", variant, n)
			}
		}
	}
}

// perOwner lists names that are unique within another resource: hooks within a group, an index within a table.
var perOwner = map[string]bool{"LifecycleHook launch": true, "LifecycleHook terminate": true}

func physicalNames(g *pulumitest.Graph) map[string]bool {
	names := map[string]bool{}
	for _, r := range g.Resources {
		for _, p := range []string{"name", "bucket", "dashboardName"} {
			// The bucket's name; in other resources it is a reference.
			if v := r.Text(p); v != "" && (p != "bucket" || strings.HasSuffix(r.Type, ":BucketV2")) {
				names[r.Type[strings.LastIndex(r.Type, ":")+1:]+" "+v] = true
			}
		}
	}
	return names
}

// A new binary changes the object and both templates, and nothing else. The same binary changes nothing.
func TestNewReleaseChangesObjectAndTemplatesOnly(t *testing.T) {
	prod := variants["prod"]
	first := run(t, "test", prod, binary(t, "a release"))
	if d := changed(first, run(t, "test", prod, binary(t, "a release"))); len(d) > 0 {
		t.Errorf("the same release changes %v", d)
	}
	want := []string{"BucketObjectv2 imagery-test-release", "LaunchTemplate imagery-test-server",
		"LaunchTemplate imagery-test-worker"}
	if d := changed(first, run(t, "test", prod, binary(t, "another"))); !slices.Equal(d, want) {
		t.Errorf("another release changes %v, want %v", d, want)
	}
}

// In a first preview, outputs of resources are unknown; it must still show every resource. It rolls nothing out.
func TestFirstPreviewShowsEverything(t *testing.T) {
	for variant, config := range variants {
		r := &fakeRoller{}
		g, err := pulumitest.Preview(program(binary(t, "a release"), r), "test", t.TempDir(), keysOf(config))
		if err != nil || len(r.plans) > 0 {
			t.Errorf("%s: %v, %d rollouts", variant, err, len(r.plans))
		}
		if got, want := len(g.Resources), len(graphOf(t, variant).Resources); got != want {
			t.Errorf("%s: the preview shows %d resources, the update creates %d", variant, got, want)
		}
	}
}

func changed(a, b *pulumitest.Graph) []string {
	var out []string
	for i, r := range a.Resources {
		if o := b.Resources[i]; r.URN() != o.URN() || r.Text("key") != o.Text("key") ||
			r.Text("userData") != o.Text("userData") || fingerprint(r) != fingerprint(o) {
			out = append(out, r.Type[strings.LastIndex(r.Type, ":")+1:]+" "+r.Name)
		}
	}
	return out
}

// fingerprint returns a resource's inputs as text, without the binary, whose key is compared instead.
func fingerprint(r *pulumitest.Resource) string {
	one := (&pulumitest.Graph{Resources: []*pulumitest.Resource{r}}).Clone().Resources[0]
	one.Set("source", nil)
	return fmt.Sprint(one.Inputs) // maps print in the order of their keys
}

// userData decodes the user-data of a role.
func userData(t testing.TB, g *pulumitest.Graph, role string) string {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(g.One("LaunchTemplate", "-"+role).Text("userData"))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
