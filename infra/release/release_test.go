package release

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"imagery/app/deploy/settings"
	"imagery/infra/testing/pulumitest"
)

const source = `package main

import "runtime"

func main() { _, file, _, _ := runtime.Caller(0); println(file, runtime.Version()) }
`

// module returns a folder with a small program in ./app.
func module(t *testing.T, gomod string) string {
	t.Helper()
	root := t.TempDir()
	if err := os.MkdirAll(filepath.Join(root, "app"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"go.mod": gomod, "app/main.go": source} {
		if err := os.WriteFile(filepath.Join(root, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func gomod(t *testing.T) string {
	t.Helper()
	version, err := exec.Command(pulumitest.Need(t, "go"), "env", "GOVERSION").Output()
	if err != nil {
		t.Fatal(err)
	}
	return "module imagery\n\ngo 1.26.0\n\ntoolchain " + strings.TrimSpace(string(version)) + "\n"
}

// The binary must not depend on the folder, the user's flags or the environment. The program above prints its own path,
// which -trimpath makes equal.
func TestSameSourceSameHash(t *testing.T) {
	text := gomod(t)
	hash := func() string {
		path, err := GoBuild{}.Build(context.Background(), module(t, text), "arm64")
		if err != nil {
			t.Fatal(err)
		}
		s, err := sum(path)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	first := hash()
	for k, v := range map[string]string{"GOFLAGS": "-ldflags=-X=main.x=1 -tags=x", "GOARM64": "v9.0", "GOOS": "windows",
		"GOARCH": "386", "CGO_ENABLED": "1", "GOEXPERIMENT": "nogreenteagc"} {
		t.Setenv(k, v)
	}
	if second := hash(); first != second {
		t.Errorf("two builds of one source differ: %s and %s", first, second)
	}
}

// TestRealBinaryIsReproducible builds the program twice in separate folders, with the caches of this machine and with
// empty ones. The second build takes minutes, so the test runs only with REQUIRE_ALL=1.
func TestRealBinaryIsReproducible(t *testing.T) {
	if os.Getenv("REQUIRE_ALL") != "1" {
		t.Skip("compiles the whole program with empty caches; set REQUIRE_ALL=1")
	}
	cache, err := exec.Command(pulumitest.Need(t, "go"), "env", "GOMODCACHE").Output()
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GOPROXY", "file://"+strings.TrimSpace(string(cache))+"/cache/download,"+os.Getenv("GOPROXY"))
	duplicate := func(from ...string) string {
		root := t.TempDir()
		if out, err := exec.Command("cp", append(append([]string{"-r"}, from...), root)...).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return root
	}
	source := duplicate("../../app", "../../go.mod", "../../go.sum") // one copy: the files may change meanwhile
	var hashes []string
	for n := range 2 {
		root := duplicate(source+"/app", source+"/go.mod", source+"/go.sum")
		if n == 1 {
			t.Setenv("GOMODCACHE", filepath.Join(root, "modules"))
			t.Setenv("GOCACHE", filepath.Join(root, "cache"))
		}
		path, err := GoBuild{}.Build(context.Background(), root, "arm64")
		if err != nil {
			t.Fatal(err)
		}
		s, err := sum(path)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, s)
	}
	if out, err := exec.Command("chmod", "-R", "u+w", os.Getenv("GOMODCACHE")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if hashes[0] != hashes[1] {
		t.Errorf("two builds of one source differ: %v", hashes)
	}
	t.Log(hashes[0])
}

func TestBuildErrorsNameTheCause(t *testing.T) {
	root := module(t, gomod(t))
	program := []byte("package main\n\nfunc main() { missing() }\n")
	if err := os.WriteFile(filepath.Join(root, "app", "main.go"), program, 0o644); err != nil {
		t.Fatal(err)
	}
	_, err := GoBuild{}.Build(context.Background(), root, "arm64")
	if err == nil || !strings.Contains(err.Error(), "undefined: missing") {
		t.Errorf("%v, want the compiler's error", err)
	}
	_, err = GoBuild{}.Build(context.Background(), module(t, "module imagery\n\ngo 1.26.0\n"), "arm64")
	if err == nil || !strings.Contains(err.Error(), "no toolchain line") {
		t.Errorf("%v, want an error about the toolchain", err)
	}
	for _, missing := range []string{"nothing", "app"} {
		if _, err := (Prebuilt{missing}).Build(context.Background(), root, ""); err == nil {
			t.Errorf("no error for %s", missing)
		}
	}
}

func TestPrebuiltIsRelativeToTheProject(t *testing.T) {
	root := module(t, gomod(t))
	path, err := Prebuilt{"app/main.go"}.Build(context.Background(), root, "")
	if err != nil || path != filepath.Join(root, "app", "main.go") {
		t.Error(path, err)
	}
}

var minimal = Boot{Settings: settings.Settings{Role: settings.Worker}, Region: "r", Group: "g", Hook: "h",
	TerminateHook: "t", Bucket: "b", Key: "k", SHA: "s", LogGroup: "/l"}

func TestUserDataRejectsValuesThatNeedQuotes(t *testing.T) {
	if _, err := UserData(minimal); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []func(*Boot){
		func(b *Boot) { b.Bucket = "b; reboot" }, func(b *Boot) { b.Region = "" },
		func(b *Boot) { b.Group = "$(id)" }, func(b *Boot) { b.Key = "a b" },
	} {
		b := minimal
		damage(&b)
		if _, err := UserData(b); err == nil {
			t.Errorf("rendered %+v", b)
		}
	}
}

// User-data stays well below AWS's limit, even with the longest names, so that the script can grow.
func TestUserDataIsWellBelowTheLimit(t *testing.T) {
	b := example(settings.Worker)
	long := strings.Repeat("n", 100)
	b.Settings.Table, b.Settings.Bucket, b.Settings.Stack, b.Group = long, long, long, long
	b.Settings.QueueURL, b.Settings.DLQURL = "https://"+long, "https://"+long
	b.Bucket, b.LogGroup, b.Region = long, "/"+long, "ap-southeast-2"
	text, err := UserData(b)
	if err != nil {
		t.Fatal(err)
	}
	if room := userDataLimit - len(text); room < 1500 {
		t.Errorf("user-data has %d bytes left", room)
	}
	t.Logf("%d bytes of %d", len(text), userDataLimit)
}

func TestUserDataKeepsTheLimit(t *testing.T) {
	b := minimal
	b.Settings.Table = strings.Repeat("x", userDataLimit)
	if _, err := UserData(b); err == nil || !strings.Contains(err.Error(), "AWS accepts 16384") {
		t.Error(err)
	}
}
