package cli

import (
	"context"
	"flag"
	"fmt"
	"io"
	"strings"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/deploy/settings"
	"imagery/app/imagery"
)

// Verb is one thing that an operator can ask for.
type Verb struct {
	Name  string // as it is typed; the first word is one of settings.Verbs
	Args  string // what stands beside the flags in the usage line
	About string // the first line says what it does, the rest what one must know
	// Setup defines the verb's own flags and returns what runs when they are parsed.
	Setup func(fs *flag.FlagSet) func(ctx context.Context, c Call) error
}

// Call is one verb as somebody typed it.
type Call struct {
	Console
	Args     []string // that are no flags
	Settings settings.Settings
	// Open opens what the settings select; region is that of a stack that was read, or empty. Verbs call open,
	// which reads the stack, after the arguments were looked at.
	Open func(ctx context.Context, s settings.Settings, region string) (Backend, error)
}

// Backend is what verbs work on.
type Backend struct {
	Service  *imagery.Service
	Store    Store
	Snapshot func(ctx context.Context, hashes bool) (fsck.Snapshot, error)
	Depth    func(ctx context.Context) (Depth, error)
	// Record reads the document of the release record, empty if there is none. It is nil where nothing is ever
	// rolled out.
	Record func(ctx context.Context) (document string, err error)
	Close  func() error
}

// Depth is how many messages there are. On AWS the numbers are about a minute old.
type Depth struct {
	Visible     int `json:"visible"`
	InFlight    int `json:"inFlight"`
	Delayed     int `json:"delayed"`
	DeadLetters int `json:"deadLetters"`
}

// Store is what operators may do beyond the roles. Both backends have it.
type Store interface {
	imagery.Finder
	// Scan hands every image to each, expired ones too, until each returns an error.
	Scan(ctx context.Context, each func(imagery.Image) error) error
	// RemoveObject removes an object that was put before the given time, false if it is gone or newer. The
	// caller knows that no image names it, and that nobody puts it again just now.
	RemoveObject(ctx context.Context, key string, before time.Time) (removed bool, err error)
}

// Verbs are the verbs of this package, in the order of the help.
var Verbs = []Verb{
	{"why", "ID", aboutWhy, why},
	{"dlq ls", "", aboutList, listLetters},
	{"dlq show", "ID", aboutShow, showLetter},
	{"dlq redrive", "", aboutRedrive, redrive},
	{"requeue", "ID | --failed", aboutRequeue, requeue},
	{"fsck", "", aboutCheck, check},
	{"doctor", "", aboutDoctor, examine},
	{"alarms ls", "", aboutAlarmsList, listAlarms},
	{"alarms test", "", aboutAlarmsTest, testAlarms},
	{"smoke", "[URL]", aboutSmoke, trySmoke},
	{"status", "", aboutStatus, status},
}

// Find picks the verb that args begin with, and the arguments behind it. When they name a group of verbs and
// ask for help they get that of the whole group: found has several then.
func Find(verbs []Verb, args []string) (found []Verb, rest []string, err error) {
	var names []string
	for _, v := range verbs {
		first, second, group := strings.Cut(v.Name, " ")
		switch {
		case first != args[0]:
		case !group:
			return []Verb{v}, args[1:], nil
		case len(args) > 1 && args[1] == second:
			return []Verb{v}, args[2:], nil
		default:
			found, names = append(found, v), append(names, second)
		}
	}
	if len(found) == 0 {
		return nil, nil, usage("unknown verb %q (see -h)", args[0])
	}
	if len(args) > 1 && isHelp(args[1]) {
		return found, args[1:], nil
	}
	return nil, nil, usage("%s needs one of %s behind it (see imagery %s -h)", args[0], strings.Join(names, ", "), args[0])
}

func isHelp(arg string) bool {
	return strings.TrimLeft(arg, "-") == "h" || strings.TrimLeft(arg, "-") == "help"
}

// usage is the error of somebody who typed something wrong.
func usage(format string, args ...any) error {
	return &settings.UsageError{Problems: []string{fmt.Sprintf(format, args...)}}
}

// Usage prints the help of one verb, or of a group.
func Usage(w io.Writer, verbs []Verb) {
	for _, v := range verbs {
		fs := flag.NewFlagSet(v.Name, flag.ContinueOnError)
		v.Setup(fs)
		fmt.Fprintf(w, "Usage: imagery %s\n\n%s\n\n", strings.TrimSpace(v.Name+" [flags] "+v.Args), v.About)
		fs.VisitAll(func(f *flag.Flag) {
			value, text := flag.UnquoteUsage(f)
			if f.DefValue != "" && f.DefValue != "false" {
				text += " (default " + f.DefValue + ")"
			}
			fmt.Fprintf(w, "  %s\n        %s\n", strings.TrimSpace("--"+f.Name+" "+value), text)
		})
		fmt.Fprintln(w)
	}
	fmt.Fprint(w, "Where the images are; every other setting of imagery -h is taken, too:\n")
	settings.Describe(w, "table", "bucket", "queue-url", "dlq-url", "data")
	fmt.Fprint(w, "  -stack  ("+settings.Named("stack")+")\n        instead of them all: read where they are from the outputs of this Pulumi stack\n")
	fmt.Fprint(w, "\nExit codes: 0 done, 1 a failure or something that needs a person, 2 bad usage.\n")
}

// oneID is the single argument of a verb that wants one.
func (c Call) oneID(what string) (string, error) {
	if len(c.Args) != 1 {
		return "", usage("give one %s (see -h)", what)
	}
	return c.Args[0], nil
}

// noArgs refuses arguments that are no flags.
func (c Call) noArgs() error {
	if len(c.Args) > 0 {
		return usage("unexpected argument %q (see -h)", c.Args[0])
	}
	return nil
}
