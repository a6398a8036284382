package main

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"imagery/app/testing/short"
)

// layers lists what each package may import besides the standard library. Imports point down only. A package or an
// import that is not listed fails the test.
var layers = map[string][]string{
	"imagery/app/imagery":             {},
	"imagery/app/testing/conformance": {"imagery/app/imagery"},
	"imagery/app/testing/memory":      {"imagery/app/imagery"},
	"imagery/app/deploy/settings":     {},                              // read by infra, too
	"imagery/app/deploy/iam":          {},                              // read by infra, too
	"imagery/app/deploy/instances":    {"imagery/app/deploy/settings"}, // read by infra, too
	"imagery/app/observe":             {"imagery/app/deploy/settings", "github.com/lmittmann/tint"},
	"imagery/app/budget":              {"github.com/KimMachineGun/automemlimit/"},
	"imagery/app/sepia": {
		"imagery/app/imagery", "imagery/app/sepia/codec", "imagery/app/sepia/heif", "imagery/app/sepia/icc",
		"imagery/app/sepia/jfif", "imagery/app/sepia/pngstream",
		"github.com/disintegration/imaging",
		"golang.org/x/image/",
		"golang.org/x/sys/cpu",
	},
	"imagery/app/sepia/codec": {
		"imagery/app/sepia/heif", "github.com/tetratelabs/wazero", "github.com/tetratelabs/wazero/",
	},
	"imagery/app/sepia/icc":       {},                       // reads profiles of strangers with the standard library alone
	"imagery/app/sepia/heif":      {},                       // a container, without codecs
	"imagery/app/sepia/jfif":      {"golang.org/x/sys/cpu"}, // a codec, on planes of the standard library
	"imagery/app/sepia/pngstream": {"github.com/klauspost/compress/", "golang.org/x/sys/cpu"},
	"imagery/app/store/local":     {"imagery/app/imagery", "modernc.org/sqlite"},
	"imagery/app/store/aws":       {"imagery/app/imagery", "github.com/aws/"},
	"imagery/app/httpserver":      {"imagery/app/deploy/settings"},
	"imagery/app/server": {
		"imagery/app/httpserver", "imagery/app/imagery", "imagery/app/deploy/settings", "imagery/app/observe",
		"github.com/labstack/echo/v4",
	},
	"imagery/app/worker": {
		"imagery/app/httpserver", "imagery/app/imagery", "imagery/app/deploy/settings", "imagery/app/observe",
		"imagery/app/budget",
	},
	"imagery/app/fleet/panel":   {"imagery/app/httpserver"},
	"imagery/app/testing/model": {},
	"imagery/app/fleet": {
		"imagery/app/httpserver", "imagery/app/deploy/settings", "imagery/app/observe",
	},
	// the last shows operators what no role may see
	"imagery/app/cli": {
		"imagery/app/deploy/rollout", "imagery/app/imagery", "imagery/app/store/local",
		"imagery/app/deploy/settings", "imagery/app/admin/fsck", "imagery/app/admin/doctor",
		"imagery/app/admin/alarms", "imagery/app/deploy/record", "imagery/app/admin/smoke", "imagery/app/client",
		"github.com/aws/", "github.com/spf13/",
	},
	// nothing that writes: it checks what we wrote
	"imagery/app/admin/fsck": {
		"modernc.org/sqlite", "github.com/aws/", "imagery/app/deploy/iam",
	},
	"imagery/app/deploy/record": {"imagery/app/deploy/settings"}, // read by infra, too
	// called by infra, too
	"imagery/app/deploy/rollout": {
		"imagery/app/deploy/", "imagery/app/admin/smoke", "github.com/aws/",
	},
	"imagery/app/admin/alarms": {"imagery/app/deploy/settings", "github.com/aws/"},
	"imagery/app/admin/doctor": {
		"imagery/app/client", "imagery/app/store/local", "imagery/app/deploy/settings", "imagery/app/deploy/iam",
		"imagery/app/budget", "imagery/app/admin/alarms", "imagery/app/admin/fsck", "github.com/aws/",
	},
	// an account around the emulators, for tests only
	"imagery/app/testing/fakeaccount": {
		"imagery/app/", "github.com/aws/",
	},
	"imagery/app/client":           {},                     // the HTTP API, for smoke and tests
	"imagery/app/admin/smoke":      {"imagery/app/client"}, // called by infra, too
	"imagery/app/admin/selftest":   {"imagery/app/imagery", "imagery/app/deploy/iam"},
	"imagery/app/testing/e2e":      {},
	"imagery/app/testing/browser":  {},
	"imagery/app/testing/short":    {}, // for tests
	"imagery/app/testing/failures": {}, // writes docs/failures.md
	// emulators, for tests only
	"imagery/app/testing/fakeaws": {
		"imagery/app/", "github.com/", "golang.org/x/",
	},
	// links emulators, and so is a program of its own
	"imagery/app/testing/bench": {
		"imagery/app/", "imagery/app/testing/bench/", "github.com/disintegration/imaging", "github.com/spf13/pflag",
		"golang.org/x/sys/unix",
	},
	"imagery/app/testing/bench/ours": {
		"imagery/app/sepia", "imagery/app/budget", "imagery/app/testing/bench/",
		"github.com/disintegration/imaging",
	},
	"imagery/app/testing/bench/protocol": {},
	// a program, by hand
	"imagery/infra/testing/rehearse": {
		"imagery/app/deploy/iam", "imagery/app/deploy/settings", "imagery/app/testing/fakeaws", "imagery/infra/",
		"github.com/aws/",
	},
	// a program, by hand; of the product only what clients share, as it proves what users see
	"imagery/infra/testing/acceptance": {
		"imagery/app/client", "imagery/app/admin/smoke", "imagery/app/imagery", "imagery/app/deploy/settings",
		"imagery/infra/", "github.com/aws/", "github.com/chromedp/", "github.com/spf13/pflag",
	},
	"imagery/app": {"imagery/app/", "github.com/coreos/go-systemd/v22/daemon"},
}

// ofInfra lists what every package of the deployer may import: of the binary only what both share. The package
// httpproxy is the standard library's reading of proxy variables.
var ofInfra = []string{"imagery/app/deploy/settings", "imagery/app/deploy/iam", "imagery/app/deploy/record",
	"imagery/app/deploy/instances",
	"imagery/app/deploy/rollout", "imagery/app/admin/smoke", "imagery/infra/",
	"github.com/pulumi/", "github.com/aws/", "golang.org/x/net/http/httpproxy"}

// emulators must not be linked into the binary, nor libraries that only the deployer needs.
var emulators = []string{"gofakes3", "goaws", "minidyn", "chromedp", "pulumi", "/testing/", "rapid"}

func goList(t *testing.T, args ...string) []string {
	t.Helper()
	cmd := exec.Command("go", append([]string{"list"}, args...)...)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v", args, err)
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n")
}

func TestImportsGoDown(t *testing.T) {
	for _, line := range goList(t, "-f", `{{.ImportPath}} {{join .Imports " "}}`, "imagery/...") {
		f := strings.Fields(line)
		allowed, known := layers[f[0]]
		if !known && strings.HasPrefix(f[0], "imagery/infra") {
			allowed, known = ofInfra, true
		}
		if !known {
			t.Errorf("package %s has no place in the house: give it one", f[0])
			continue
		}
		for _, imported := range f[1:] {
			if first, _, _ := strings.Cut(imported, "/"); !strings.Contains(first, ".") && first != "imagery" {
				continue // the standard library
			}
			if !slices.ContainsFunc(allowed, func(a string) bool {
				return imported == a || strings.HasSuffix(a, "/") && strings.HasPrefix(imported, a) ||
					strings.HasPrefix(imported, a+"/lib")
			}) {
				t.Errorf("%s must not import %s", f[0], imported)
			}
		}
	}
}

func TestProductLinksNoEmulator(t *testing.T) {
	for _, dep := range goList(t, "-deps", ".") {
		for _, e := range emulators {
			if strings.Contains(dep, e) {
				t.Errorf("the product links %s", dep)
			}
		}
	}
}

// TestLinkerDropsUnusedMethods: a program that calls methods by name, as text/template does, keeps every method of
// every type, and with them all operations of every AWS client: a third of the binary that each instance downloads.
// Cobra imports text/template, but links nothing of it unless a template is set.
func TestLinkerDropsUnusedMethods(t *testing.T) {
	short.Skip(t, "unused methods of the AWS clients in the linked binary")
	out, err := exec.Command("go", "build", "-ldflags=-dumpdep", "-o", filepath.Join(t.TempDir(), "imagery"),
		".").CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if !strings.Contains(string(out), "main.main -> ") {
		t.Fatal("the linker does not list dependencies any more")
	}
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "<ReflectMethod>") {
			t.Errorf("a method is called by name: %s", line)
		}
	}
}

// TestProductLinksWhatItCalls: a paginator or waiter of the SDK takes its client as an interface, and then the linker
// keeps every operation of that service: ten megabytes that each instance downloads.
func TestProductLinksWhatItCalls(t *testing.T) {
	helper := regexp.MustCompile(`\bNew\w+(Paginator|Waiter)\(`)
	for _, line := range goList(t, "-deps", "-f",
		`{{if not .Standard}}{{.ImportPath}} {{.Dir}} {{join .GoFiles " "}}{{end}}`, ".") {
		f := strings.Fields(line)
		if len(f) < 3 || !strings.HasPrefix(f[0], "imagery/") {
			continue
		}
		for _, name := range f[2:] {
			text, err := os.ReadFile(filepath.Join(f[1], name))
			if err != nil {
				t.Fatal(err)
			}
			if m := helper.Find(text); m != nil {
				t.Errorf("%s/%s uses %s: ask page by page", f[0], name, m)
			}
		}
	}
}

// TestOneMakerOfListeners: every listener has the bounds of app/httpserver, so no other package makes a server.
func TestOneMakerOfListeners(t *testing.T) {
	var files []string
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (name == "testing" || name == "httpserver"):
			return filepath.SkipDir
		case strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go"):
			files = append(files, name)
		}
		return nil
	})
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for _, makes := range []string{"http.Server{", "http.ListenAndServe", "http.Serve("} {
			if strings.Contains(string(text), makes) {
				t.Errorf("%s has %s: use app/httpserver", name, makes)
			}
		}
	}
}
