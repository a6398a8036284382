//go:build unix

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"imagery/app/cli"
	"imagery/app/deploy/settings"
	"imagery/app/testing/short"
)

// TestCommandsParse: what pages tell people to type is understood, be it inline or in a block that is run nowhere.
// Words in capitals stand for what only the reader knows.
func TestCommandsParse(t *testing.T) {
	found := 0
	for _, d := range documents(t) {
		var commands []string
		for _, m := range code.FindAllStringSubmatch(d.prose, -1) {
			commands = append(commands, m[1])
		}
		for _, b := range d.blocks {
			if b.language == "sh" {
				commands = append(commands, strings.Split(strings.ReplaceAll(b.text, "\\\n", ""), "\n")...)
			}
		}
		for _, c := range commands {
			ours, err := understood(t, c)
			if err != nil {
				t.Errorf("%s: %s: %v", d.name, c, err)
			}
			if ours {
				found++
			}
		}
	}
	if found < 20 {
		t.Errorf("only %d commands were found", found)
	}
}

// understood says whether a command is one of ours, and what is wrong with it.
func understood(t *testing.T, command string) (ours bool, err error) {
	command, _, _ = strings.Cut(command, " # ")
	words := strings.Fields(command)
	for len(words) > 0 && regexp.MustCompile(`^[A-Z_]+=`).MatchString(words[0]) {
		words = words[1:] // variables
	}
	joined := strings.Join(words, " ")
	switch {
	case strings.HasPrefix(joined+" ", "go run ./app "):
		return true, binaryUnderstands(words[3:])
	case len(words) > 1 && (words[0] == "imagery" || words[0] == "./imagery"):
		return true, binaryUnderstands(words[1:])
	case strings.HasPrefix(joined, "go test "):
		return true, testsExist(t, words[2:])
	case strings.HasPrefix(joined, "go run ./"):
		_, err := os.Stat(filepath.Join(root, words[2]))
		return true, err
	case len(words) > 0 && strings.HasPrefix(words[0], "scripts/"):
		_, err := os.Stat(filepath.Join(root, words[0]))
		return true, err
	}
	return false, nil
}

// binaryUnderstands parses arguments as main does.
func binaryUnderstands(args []string) error {
	if len(args) == 0 || strings.ToUpper(args[0]) == args[0] && !strings.HasPrefix(args[0], "-") {
		return nil
	}
	understood := errors.New("understood")
	err := cli.App{Console: cli.Console{Out: io.Discard}, Extra: extraCommands,
		BeforeCommand: func() error { return understood },
		Role:          func(context.Context, settings.Settings) error { return nil },
	}.Run(context.Background(), args)
	if errors.Is(err, understood) {
		return nil
	}
	return err
}

// testsExist checks the folder of a go test command, and that its patterns mean something in it.
func testsExist(t *testing.T, args []string) error {
	var names, patterns []string
	for i, a := range args {
		if folder, ok := strings.CutPrefix(a, "./"); ok {
			folder = filepath.Join(root, strings.TrimSuffix(folder, "..."))
			if _, err := os.Stat(folder); err != nil {
				return err
			}
			names = append(names, declared(t, folder)...)
		}
		if i > 0 && (args[i-1] == "-run" || args[i-1] == "-bench") {
			patterns = append(patterns, strings.Trim(a, "'"))
		}
	}
	for _, p := range patterns {
		if re, err := regexp.Compile(p); err != nil {
			return err
		} else if p != "^$" && !slices.ContainsFunc(names, func(n string) bool {
			return re.MatchString(n) || re.MatchString(strings.TrimPrefix(n, "Benchmark"))
		}) {
			return fmt.Errorf("%s matches no test of it", p)
		}
	}
	return nil
}

const (
	blockTimeout = 60 * time.Second
	readyTimeout = 3 * time.Minute // the first block compiles everything, and it may not be alone
	// address is the address of the service in the pages; while they are tested it listens elsewhere, as another
	// service may be there.
	address = "localhost:8080"
)

// TestDocumentsRun plays a newcomer: in a fresh clone, with an empty home folder, every block of every page is run in
// the order of the page, in one shell. Modules and the compiler's results are kept.
func TestDocumentsRun(t *testing.T) {
	short.Skip(t, "the commands of every page, run in a fresh clone")
	for _, needed := range []string{"git -C .. rev-parse", "bash -c true", "curl --version"} {
		words := strings.Fields(needed)
		if err := exec.Command(words[0], words[1:]...).Run(); err != nil && os.Getenv("REQUIRE_ALL") == "1" {
			t.Fatalf("%s: %v", needed, err)
		} else if err != nil {
			t.Skipf("SKIPPED, REQUIRE_ALL=1 makes this a failure: %s: %v", needed, err)
		}
	}
	n := newcomer(t)
	ran := 0
	for _, d := range documents(t) {
		if !slices.ContainsFunc(d.blocks, func(b block) bool { return b.language == "sh" && !b.notRun }) {
			continue
		}
		t.Run(d.name, func(t *testing.T) {
			for _, b := range d.blocks {
				if b.language != "sh" || b.notRun {
					continue
				}
				began := time.Now()
				if b.runs != "" {
					n.start(t, b)
				} else {
					n.run(t, b)
				}
				ran++
				t.Logf("%s: %.1f s", b.at, time.Since(began).Seconds())
			}
		})
	}
	if ran == 0 {
		t.Error("no page has anything to run")
	}
}

// reader runs the commands of a page.
type reader struct {
	clone, shell string // folders: the checkout, and what the shell remembers
	port         string
	env          []string
}

func newcomer(t *testing.T) *reader {
	t.Helper()
	dir := t.TempDir()
	n := &reader{clone: filepath.Join(dir, "imagery"), shell: filepath.Join(dir, "variables")}
	if out, err := exec.Command("git", "clone", "-q", root, n.clone).CombinedOutput(); err != nil {
		t.Fatalf("clone the checkout: %v\n%s", err, out)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, n.port, _ = net.SplitHostPort(l.Addr().String())
	l.Close()
	home := filepath.Join(dir, "home")
	if err := os.Mkdir(home, 0o700); err != nil {
		t.Fatal(err)
	}
	n.env = []string{"HOME=" + home, "PATH=" + os.Getenv("PATH"), "PORT=" + n.port}
	for _, v := range []string{"GOCACHE", "GOMODCACHE", "GOPROXY", "GOSUMDB", "GOTOOLCHAIN"} {
		out, err := exec.Command("go", "env", v).Output()
		if err != nil {
			t.Fatal(err)
		}
		n.env = append(n.env, v+"="+strings.TrimSpace(string(out)))
	}
	return n
}

// command is a block as a process group of its own, as a terminal has it.
func (n *reader) command(ctx context.Context, text string, out io.Writer) *exec.Cmd {
	text = strings.ReplaceAll(text, address, "localhost:"+n.port)
	c := exec.CommandContext(ctx, "bash", "-euo", "pipefail", "-c", text)
	c.Dir, c.Env, c.Stdout, c.Stderr = n.clone, n.env, out, out
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Cancel = func() error { return syscall.Kill(-c.Process.Pid, syscall.SIGKILL) }
	c.WaitDelay = time.Second
	return c
}

// run runs a block to its end, with the variables that the blocks before it have set.
func (n *reader) run(t *testing.T, b block) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), blockTimeout)
	defer cancel()
	var out bytes.Buffer
	before := fmt.Sprintf("set -a; if [ -e %[1]s ]; then . %[1]s; fi\n", n.shell)
	if err := n.command(ctx, before+b.text+"\nexport -p >"+n.shell, &out).Run(); err != nil {
		t.Fatalf("%s: %v, %v\n%s\n%s", b.at, err, ctx.Err(), b.text, out.String())
	}
}

// start runs a block until its page ends, and then presses Ctrl-C. It returns when the block says that it is ready.
func (n *reader) start(t *testing.T, b block) {
	t.Helper()
	var out bytes.Buffer
	c := n.command(context.WithoutCancel(t.Context()), b.text, &out)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- c.Wait() }()
	t.Cleanup(func() {
		syscall.Kill(-c.Process.Pid, syscall.SIGINT)
		select {
		case err := <-ended:
			// The go command itself answers 1 when it is interrupted; of its program it prints what is not 0.
			if bytes.Contains(out.Bytes(), []byte("\nexit status")) || err != nil && c.ProcessState.ExitCode() != 1 {
				t.Errorf("%s ended with %v\n%s", b.at, err, out.String())
			}
		case <-time.After(blockTimeout):
			syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
			<-ended
			t.Errorf("%s did not stop\n%s", b.at, out.String())
		}
	})
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		res, err := http.Get(strings.ReplaceAll(b.runs, address, "localhost:"+n.port))
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("%s ended before %s answered: %v", b.at, b.runs, err)
		default:
		}
		if time.Since(began) > readyTimeout {
			t.Fatalf("%s: %s does not answer: %v", b.at, b.runs, err)
		}
	}
}
