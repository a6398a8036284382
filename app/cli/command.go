// Package cli is the command line of the binary: the roles and the commands of an operator. The commands work on both
// stores through the ports of package imagery, and through Store for what the roles have no permission to do. Rules
// about images are in package imagery; each command here parses its flags, calls the library behind it and prints the
// result.
package cli

import (
	"context"
	"flag"
	"fmt"
	"time"

	"imagery/app/admin/fsck"
	"imagery/app/deploy/settings"
	"imagery/app/imagery"
)

// Command is one command of the binary.
type Command struct {
	Name string // as it is typed; "dlq ls" is the command ls of the group dlq
	// Args has placeholders of the arguments for the usage line. A single word stands for exactly one argument.
	Args string
	// About is the help text. Its first line is a summary, which lists of commands show alone.
	About string
	// NoSettings is set for a command that does not work on images, and therefore takes no flag of the settings.
	NoSettings bool
	// NoJSON is set for a command without the flag --json.
	NoJSON bool
	// Setup defines the flags of the command in fs, and returns the function that runs it once they are parsed.
	Setup func(fs *flag.FlagSet) func(ctx context.Context, inv Invocation) error
}

// Invocation is a command with its parsed command line.
type Invocation struct {
	Console
	Args     []string // the arguments that are no flags
	JSON     bool     // print one JSON document instead of text
	Settings settings.Settings
	// Open opens the deployment that the settings select. Region is that of a stack whose outputs were read, or empty.
	// Commands call use instead, which reads these outputs.
	Open func(ctx context.Context, s settings.Settings, region string) (Deployment, error)
}

// Deployment is the running service that commands work on: one on AWS, or one on a local data folder.
type Deployment struct {
	Service    *imagery.Service
	Store      Store
	Snapshot   func(ctx context.Context, hashes bool) (fsck.Snapshot, error)
	QueueDepth func(ctx context.Context) (QueueDepth, error)
	// Record reads the document of the release record, empty if there is none. It is nil on a data folder, where
	// nothing is rolled out.
	Record func(ctx context.Context) (document string, err error)
	Close  func() error
}

// QueueDepth is the number of messages by state. On AWS it is about a minute old.
type QueueDepth struct {
	Visible     int `json:"visible"`
	InFlight    int `json:"inFlight"`
	Delayed     int `json:"delayed"`
	DeadLetters int `json:"deadLetters"`
}

// Store has the operations that only operators may use. Both stores implement it.
type Store interface {
	imagery.Finder
	// Scan calls each for every image, expired ones included, until each returns an error.
	Scan(ctx context.Context, each func(imagery.Image) error) error
	// RemoveObject removes an object that was stored before the given time; removed is false if it is gone or newer.
	// The caller makes sure that no image names it and that no upload is about to store it again.
	RemoveObject(ctx context.Context, key string, before time.Time) (removed bool, err error)
}

// commands are the commands of this package, in the order of the help.
var commands = []Command{
	{Name: "status", About: aboutStatus, Setup: statusCmd},
	{Name: "why", Args: "ID", About: aboutWhy, Setup: noFlags(why)},
	{Name: "dlq ls", About: aboutDLQList, Setup: dlqListCmd},
	{Name: "dlq show", Args: "ID", About: aboutDLQShow, Setup: noFlags(dlqShow)},
	{Name: "dlq redrive", About: aboutRedrive, Setup: redriveCmd},
	{Name: "requeue", Args: "ID | --failed", About: aboutRequeue, Setup: requeueCmd},
	{Name: "fsck", About: aboutFsck, Setup: fsckCmd},
	{Name: "smoke", Args: "[URL]", About: aboutSmoke, Setup: smokeCmd},
	{Name: "doctor", About: aboutDoctor, Setup: doctorCmd},
	{Name: "alarms ls", About: aboutAlarmsList, Setup: noFlags(alarmsList)},
	{Name: "alarms test", About: aboutAlarmsTest, Setup: alarmsTestCmd},
	{Name: "rollout status", About: aboutRolloutStatus, NoSettings: true, Setup: rolloutCmd(rolloutStatus)},
	{Name: "rollout to", Args: "RELEASE", About: aboutRolloutTo, NoSettings: true, Setup: rolloutCmd(rolloutTo)},
	{Name: "rollout abort", About: aboutRolloutAbort, NoSettings: true, Setup: rolloutCmd(rolloutAbort)},
	{Name: "rollout resume", About: aboutRolloutResume, NoSettings: true, Setup: rolloutCmd(rolloutResume)},
}

// noFlags returns the Setup of a command without flags of its own.
func noFlags(run func(context.Context, Invocation) error) func(*flag.FlagSet) func(context.Context, Invocation) error {
	return func(*flag.FlagSet) func(context.Context, Invocation) error { return run }
}

// groups are the summaries of the commands that only have commands below them.
var groups = map[string]string{
	"dlq":     "Show dead letters and send them back to work",
	"alarms":  "Show the alarms of a stack and test whether they reach anybody",
	"rollout": "Show the releases of a stack and change them by hand",
}

// usage returns the error of a wrong command line.
func usage(format string, args ...any) error {
	return &settings.UsageError{Problems: []string{fmt.Sprintf(format, args...)}}
}

// idArg returns the argument of a command that takes the id of an image.
func (inv Invocation) idArg() (string, error) {
	id, err := imagery.ParseID(inv.Args[0])
	if err != nil {
		return "", usage("%q: %v", inv.Args[0], err)
	}
	return id, nil
}

// Names returns the names of the commands of this package, in the order of the help.
func Names() []string {
	var names []string
	for _, c := range commands {
		names = append(names, c.Name)
	}
	return names
}
