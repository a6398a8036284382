// Command acceptance proves a stack on AWS and in a rehearsal alike, with only what a user has: the pulumi CLI, the
// imagery binary, AWS APIs and the service's URL. It creates the stack itself, runs scenes on it, writes a report and
// destroys it. scripts/acceptance runs it.
package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/pflag"
)

// options are those of the command line.
type options struct {
	stack  string
	scenes []string // those of --scene; none: all
	config []string // key=value
	keep   bool
	yes    bool
	report string
}

// defaultReport is written by a run of all scenes.
const defaultReport = "docs/acceptance.md"

// usageError is a mistake of the caller; the exit code is 2.
type usageError string

func (e usageError) Error() string { return string(e) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	stop()
	if err == nil || errors.Is(err, pflag.ErrHelp) {
		return
	}
	fmt.Fprintln(os.Stderr, "acceptance:", err)
	if usage := usageError(""); errors.As(err, &usage) {
		os.Exit(2)
	}
	os.Exit(1)
}

// stackName is the form of the name of a stack, with its organization and project or without.
var stackName = regexp.MustCompile(`^([\w.-]+/){0,2}[A-Za-z0-9][\w.-]*$`)

// parse reads the command line.
func parse(args []string, out io.Writer) (o options, err error) {
	flags := pflag.NewFlagSet("acceptance", pflag.ContinueOnError)
	flags.SetOutput(out)
	flags.Usage = func() {
		fmt.Fprintf(out, "usage: scripts/acceptance STACK [flags]\n%s\nScenes:\n%s", flags.FlagUsages(), listing(scenes))
	}
	flags.StringArrayVar(&o.scenes, "scene", nil,
		"run this scene, may be repeated; the first and the last of the list always run (default: all scenes)")
	flags.StringArrayVar(&o.config, "config", nil, "KEY=VALUE of the stack, such as imagery:alarmEmail=me@example.org")
	flags.BoolVar(&o.keep, "keep", false, "do not destroy the stack at the end")
	flags.BoolVar(&o.yes, "yes", false, "do not ask before resources that cost money are created")
	flags.StringVar(&o.report, "report", "", "write the report to this file (default with all scenes: "+defaultReport+")")
	if err := flags.Parse(args); err != nil {
		if !errors.Is(err, pflag.ErrHelp) {
			err = usageError(err.Error())
		}
		return o, err
	}
	switch {
	case flags.NArg() != 1:
		return o, usageError("name one stack: scripts/acceptance STACK; --help lists flags and scenes")
	case !stackName.MatchString(flags.Arg(0)):
		return o, usageError(fmt.Sprintf("%q is no name of a stack", flags.Arg(0)))
	}
	o.stack = flags.Arg(0)
	for _, name := range o.scenes {
		if !slices.ContainsFunc(scenes, func(s scene) bool { return s.name == name }) {
			return o, usageError(fmt.Sprintf("there is no scene %q; the scenes are:\n%s", name, listing(scenes)))
		}
	}
	for _, kv := range o.config {
		if key, _, ok := strings.Cut(kv, "="); !ok || !strings.Contains(key, ":") {
			return o, usageError(fmt.Sprintf("--config %q is not KEY=VALUE with a key such as imagery:profile", kv))
		}
	}
	if o.report == "" && len(o.scenes) == 0 {
		o.report = defaultReport
	}
	return o, nil
}

// tools are the programs that a run starts, and where to get them.
var tools = map[string]string{
	"pulumi": "https://www.pulumi.com/docs/install/",
	"go":     "https://go.dev/dl/",
	"git":    "the package git of your system",
}

// missing returns an error that names the tools that are not in PATH.
func missing(look func(string) (string, error)) error {
	var lines []string
	for name, from := range tools {
		if _, err := look(name); err != nil {
			lines = append(lines, fmt.Sprintf("%s: see %s", name, from))
		}
	}
	if lines == nil {
		return nil
	}
	slices.Sort(lines)
	return usageError("these programs are not in PATH:\n  " + strings.Join(lines, "\n  "))
}

func run(ctx context.Context, args []string, in io.Reader, out io.Writer) error {
	o, err := parse(args, out)
	if err != nil {
		return err
	}
	if err := missing(exec.LookPath); err != nil {
		return err
	}
	side, err := sideOf(os.Getenv)
	if err != nil {
		return err
	}
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	work := filepath.Join(cache, "imagery", "acceptance-"+strings.ReplaceAll(o.stack, "/", "-"))
	unlock, err := lock(work + ".lock")
	if err != nil {
		return err
	}
	defer unlock()
	t, err := newTest(ctx, o, side, work, out)
	if err != nil {
		return err
	}
	exists, err := t.refuse(ctx)
	if err != nil {
		return err
	}
	fmt.Fprint(out, notice(side, o, exists))
	if side.ask && !o.yes && !agreed(in, out) {
		return errors.New("nothing was done")
	}
	if err := errors.Join(os.RemoveAll(work), os.MkdirAll(work, 0o755)); err != nil {
		return err
	}
	if exists {
		if err := (&T{test: t}).removeAll(ctx); err != nil {
			return err
		}
	}
	f := &frame{scenes: scenes, chosen: o.scenes, keep: o.keep, client: t, usable: t.usable, logf: t.logf,
		ask: t.answer}
	results := f.run(ctx, t)
	text := t.render(ctx, results)
	fmt.Fprintf(out, "\n%s", text)
	if o.report != "" {
		if err := os.WriteFile(o.report, []byte(text), 0o644); err != nil {
			return fmt.Errorf("write the report: %w", err)
		}
		t.logf("the report is in %s, logs are in %s", o.report, work)
	}
	if n := count(results, failed); n > 0 {
		return fmt.Errorf("%d of %d scenes failed", n, len(results))
	}
	if n := count(results, notRun); n > 0 {
		return fmt.Errorf("%d of %d scenes were not run", n, len(results))
	}
	return nil
}

// lock makes sure that one run at a time works on a stack.
func lock(path string) (unlock func() error, err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o644)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, usageError("another acceptance run of this stack is going on: " + path + " is locked")
	}
	return f.Close, nil
}

// notice says what a run does, how long it takes and what it costs.
func notice(s side, o options, exists bool) string {
	var total time.Duration
	n := 0
	for i, c := range scenes {
		if chosen(scenes, i, o.scenes) {
			total += c.takes / time.Duration(s.factor)
			n++
		}
	}
	text := fmt.Sprintf("%d scenes on a new stack %s %s, about %.0f minutes.\n", n, o.stack, s.where, total.Minutes())
	if s.factor > 1 {
		text += fmt.Sprintf("AWS's waiting times are divided by %d.\n", s.factor)
	}
	if exists {
		text += fmt.Sprintf("The stack %s that exists holds no photos of others and is DESTROYED first.\n", o.stack)
	}
	if s.ask {
		text += fmt.Sprintf("With the settings of profile dev, its AWS resources cost about $%.2f in this time.\n",
			total.Hours()*hourlyUSD)
	}
	if s.ask && o.keep {
		text += "They stay and cost money until you destroy the stack (--keep).\n"
	}
	return text
}

// agreed asks the person at the terminal.
func agreed(in io.Reader, out io.Writer) bool {
	fmt.Fprint(out, "Go on? [y/N] ")
	line, _ := bufio.NewReader(in).ReadString('\n') // an error is a no
	return strings.EqualFold(strings.TrimSpace(line), "y")
}
