package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"imagery/app/deploy/settings"
)

// App is the command line of the binary: the roles, which run without a command, and all commands.
type App struct {
	Console
	Getenv func(name string) string // nil: no variable is set
	// Open opens the deployment that the settings select; see Invocation.
	Open func(ctx context.Context, s settings.Settings, region string) (Deployment, error)
	// Role runs the role of the settings. It is called when the command line names no command.
	Role func(ctx context.Context, s settings.Settings) error
	// BeforeCommand is called before a command runs, but not before a role runs; it may be nil. The command does not run
	// if it returns an error.
	BeforeCommand func() error
	// Extra are commands beside those of this package.
	Extra []Command
}

// Run parses args, runs what they ask for and returns its error, which is a *settings.UsageError for a wrong command
// line. Flags may have one dash or two.
func (a App) Run(ctx context.Context, args []string) error {
	root := a.tree()
	root.SetArgs(twoDashes(root, args))
	cmd, err := root.ExecuteContextC(ctx)
	if usage := (*settings.UsageError)(nil); errors.As(err, &usage) {
		return fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath())
	}
	return Readable(err)
}

// tree builds the command tree.
func (a App) tree() *cobra.Command {
	if a.Getenv == nil {
		a.Getenv = func(string) string { return "" }
	}
	root := &cobra.Command{Use: "imagery", SilenceErrors: true, SilenceUsage: true, Args: knownCommand,
		Short: "Turns photos sepia and loses nothing while servers die"}
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	read := settings.Define(fs)
	root.Flags().AddGoFlagSet(fs)
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		s, err := read(a.Getenv)
		if err != nil {
			return err
		}
		return a.Role(cmd.Context(), s)
	}
	root.SetOut(a.Out)
	root.SetErr(a.Err)
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		if cmd.HasSubCommands() { // a mistyped command is the reason for an unknown flag behind it
			if unknown := knownCommand(cmd, cmd.Flags().Args()); unknown != nil {
				return unknown
			}
		}
		return usage("%v", err)
	})
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) { printHelp(cmd) })
	for _, c := range slices.Concat(commands, a.Extra) {
		parent := root
		group, name, ok := strings.Cut(c.Name, " ")
		if !ok {
			name = group
		} else if parent = child(root, group); parent == nil {
			parent = &cobra.Command{Use: group, Short: groups[group], Args: knownCommand,
				RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() }}
			root.AddCommand(parent)
		}
		cmd := a.command(name, c)
		parent.AddCommand(cmd)
		if parent != root { // so that flags may stand before the name of the command
			parent.Flags().AddFlagSet(cmd.Flags())
		}
	}
	_ = root.RegisterFlagCompletionFunc("role", cobra.FixedCompletions(
		append([]string{string(settings.Local)}, roles...), cobra.ShellCompDirectiveNoFileComp))
	addHelpCommand(root)
	return root
}

// command makes a node of the tree.
func (a App) command(name string, c Command) *cobra.Command {
	fs := flag.NewFlagSet("", flag.ContinueOnError)
	run := c.Setup(fs)
	asJSON := new(bool)
	if !c.NoJSON {
		asJSON = fs.Bool("json", false, "print one JSON document instead of text")
	}
	read := func(func(string) string) (s settings.Settings, err error) { return s, nil }
	if !c.NoSettings {
		read = settings.Define(fs)
	}
	summary, _, _ := strings.Cut(c.About, "\n")
	cmd := &cobra.Command{Use: strings.TrimSpace(name + " " + c.Args), Short: summary, Long: c.About,
		ValidArgsFunction: cobra.NoFileCompletions}
	cmd.Flags().AddGoFlagSet(fs)
	cmd.Args = func(_ *cobra.Command, args []string) error {
		if c.Args == "" && len(args) > 0 {
			return usage("unexpected argument %q", args[0])
		}
		if c.Args != "" && !strings.ContainsAny(c.Args, "[|") && len(args) != 1 {
			return usage("give one %s", strings.ToLower(c.Args))
		}
		return nil
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s, err := read(a.Getenv)
		if err == nil && a.BeforeCommand != nil {
			err = a.BeforeCommand()
		}
		if err != nil {
			return err
		}
		return run(cmd.Context(), Invocation{Console: a.Console, Args: args, JSON: *asJSON, Settings: s, Open: a.Open})
	}
	return cmd
}

// child returns the command of that name below parent, or nil.
func child(parent *cobra.Command, name string) *cobra.Command {
	for _, cmd := range parent.Commands() {
		if cmd.Name() == name {
			return cmd
		}
	}
	return nil
}

// knownCommand reports an argument where a command is expected, and suggests the commands that are spelled alike.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(names, c.Name())
		}
	}
	hint := "there are " + strings.Join(names, ", ")
	cmd.SuggestionsMinimumDistance = 2
	if alike := cmd.SuggestionsFor(args[0]); len(alike) > 0 {
		hint = "did you mean " + strings.Join(alike, " or ") + "?"
	}
	return usage("unknown command %q for %s: %s", args[0], cmd.CommandPath(), hint)
}

// twoDashes returns args with --name in the place of -name, which cobra would take for several flags of one letter. The
// value of a flag and what stands behind "--" stay as they are.
func twoDashes(root *cobra.Command, args []string) []string {
	takesValue := map[string]bool{}
	collect := func(f *pflag.Flag) { takesValue[f.Name] = f.NoOptDefVal == "" }
	root.Flags().VisitAll(collect)
	for _, cmd := range root.Commands() {
		cmd.Flags().VisitAll(collect)
	}
	args = slices.Clone(args)
	for i := 0; i < len(args) && args[i] != "--"; i++ {
		if len(args[i]) < 3 || args[i][0] != '-' { // a word, "-" or "-h"
			continue
		}
		name, _, hasValue := strings.Cut(strings.TrimLeft(args[i], "-"), "=")
		if args[i][1] != '-' {
			args[i] = "-" + args[i]
		}
		if takesValue[name] && !hasValue {
			i++
		}
	}
	return args
}
