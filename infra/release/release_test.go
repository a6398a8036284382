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

// module writes a small program where a build expects ours.
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

// The folder, the user's flags and the machine's habits must not be in the bytes: the program below prints its
// own path, which -trimpath makes the same.
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
	for k, v := range map[string]string{"GOFLAGS": "-ldflags=-X=main.x=1 -tags=x", "GOARM64": "v9.0", "GOOS": "windows", "GOARCH": "386", "CGO_ENABLED": "1", "GOEXPERIMENT": "nogreenteagc"} {
		t.Setenv(k, v)
	}
	if second := hash(); first != second {
		t.Errorf("one source, two releases: %s and %s", first, second)
	}
}

// The real program, twice from nothing: two folders, two module caches, two build caches. It compiles everything
// and takes minutes, so it runs where all is required.
func TestRealBinaryFromTwoMachines(t *testing.T) {
	if os.Getenv("REQUIRE_ALL") != "1" {
		t.Skip("compiles the whole program twice; set REQUIRE_ALL=1")
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
	source := duplicate("../../app", "../../go.mod", "../../go.sum") // once, for somebody may be typing
	var hashes []string
	for range 2 {
		root := duplicate(source+"/app", source+"/go.mod", source+"/go.sum")
		t.Setenv("GOMODCACHE", filepath.Join(root, "modules"))
		t.Setenv("GOCACHE", filepath.Join(root, "cache"))
		path, err := GoBuild{}.Build(context.Background(), root, "arm64")
		if err != nil {
			t.Fatal(err)
		}
		s, err := sum(path)
		if err != nil {
			t.Fatal(err)
		}
		hashes = append(hashes, s)
		if out, err := exec.Command("chmod", "-R", "u+w", filepath.Join(root, "modules")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	if hashes[0] != hashes[1] {
		t.Errorf("one source, two releases: %v", hashes)
	}
	t.Log(hashes[0])
}

func TestBuildNamesWhatIsWrong(t *testing.T) {
	root := module(t, gomod(t))
	if err := os.WriteFile(filepath.Join(root, "app", "main.go"), []byte("package main\n\nfunc main() { missing() }\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := (GoBuild{}).Build(context.Background(), root, "arm64"); err == nil || !strings.Contains(err.Error(), "undefined: missing") {
		t.Errorf("%v, want the compiler's words", err)
	}
	if _, err := (GoBuild{}).Build(context.Background(), module(t, "module imagery\n\ngo 1.26.0\n"), "arm64"); err == nil || !strings.Contains(err.Error(), "no toolchain line") {
		t.Errorf("%v, want a refusal of an unpinned compiler", err)
	}
	for _, missing := range []string{"nothing", "app"} {
		if _, err := (Prebuilt{missing}).Build(context.Background(), root, ""); err == nil {
			t.Errorf("shipped %s", missing)
		}
	}
}

func TestPrebuiltIsRelativeToTheProject(t *testing.T) {
	root := module(t, gomod(t))
	if path, err := (Prebuilt{"app/main.go"}).Build(context.Background(), root, ""); err != nil || path != filepath.Join(root, "app", "main.go") {
		t.Error(path, err)
	}
}

func TestUserDataRefusesWhatAShellCouldMisread(t *testing.T) {
	good := Boot{Settings: settings.Settings{Role: settings.Worker}, Region: "r", Group: "g", Hook: "h", TerminateHook: "t", Bucket: "b", Key: "k", SHA: "s", LogGroup: "/l"}
	if _, err := UserData(good); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []func(*Boot){
		func(b *Boot) { b.Bucket = "b; reboot" }, func(b *Boot) { b.Region = "" }, func(b *Boot) { b.Group = "$(id)" }, func(b *Boot) { b.Key = "a b" },
	} {
		b := good
		damage(&b)
		if _, err := UserData(b); err == nil {
			t.Errorf("rendered %+v", b)
		}
	}
}

// What AWS allows is far off even with the longest names, so that the next line of the script is no problem.
func TestUserDataHasRoom(t *testing.T) {
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
	b := Boot{Settings: settings.Settings{Role: settings.Worker, Table: strings.Repeat("x", userDataLimit)}, Region: "r", Group: "g", Hook: "h", TerminateHook: "t", Bucket: "b", Key: "k", SHA: "s", LogGroup: "/l"}
	if _, err := UserData(b); err == nil || !strings.Contains(err.Error(), "AWS takes 16384") {
		t.Error(err)
	}
}
