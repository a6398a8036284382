package cli

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
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
	return readable(err)
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

// addHelpCommand adds cobra's command help, but one that reports an unknown command as an error.
func addHelpCommand(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	help := child(root, "help")
	help.Use, help.Short = "help [COMMAND]", "Show the help of a command"
	help.Long = "Show the help of a command\n\nimagery COMMAND --help shows the same."
	help.Run, help.RunE = nil, func(_ *cobra.Command, args []string) error {
		cmd, rest, err := root.Find(args)
		if err == nil {
			err = knownCommand(cmd, rest)
		}
		if err != nil {
			return err
		}
		return cmd.Help()
	}
}

// printHelp prints the help of a command, of a group or of the whole binary.
func printHelp(cmd *cobra.Command) {
	w := cmd.OutOrStdout()
	if !cmd.HasParent() {
		fmt.Fprintf(w, "%s.\n\nUsage: imagery [flags]           run a role, by default the whole service on this machine\n"+
			"       imagery COMMAND [flags]\n", cmd.Short)
	} else {
		printUsage(w, cmd)
	}
	if cmd.HasAvailableSubCommands() {
		fmt.Fprint(w, "\nCommands, see imagery COMMAND --help:\n")
		for _, c := range cmd.Commands() {
			if c.IsAvailableCommand() {
				fmt.Fprintf(w, "  %-17s %s\n", strings.TrimPrefix(c.CommandPath(), "imagery "), c.Short)
			}
		}
	}
	switch {
	case !cmd.HasParent():
		fmt.Fprint(w, "\nA flag, with one dash or two, wins over its variable; an empty variable counts as unset. Region,\n"+
			"credentials and endpoints come from the variables of the AWS SDK.\n\n")
		settings.Describe(w)
		fmt.Fprint(w, "\nExit codes: 0 clean stop, 1 failure, 2 bad usage.\n")
	case cmd.Flags().Lookup("queue-url") != nil:
		fmt.Fprint(w, "\nFlags that say where the images are; the other settings in imagery --help are accepted, too:\n")
		settings.Describe(w, "table", "bucket", "queue-url", "dlq-url", "data")
		fmt.Fprint(w, "  --stack  (IMAGERY_STACK)\n"+
			"        instead of all these: read them from the outputs of this Pulumi stack\n")
		fallthrough
	default:
		fmt.Fprint(w, "\nExit codes: 0 done, 1 a failure or something that needs a person, 2 bad usage.\n")
	}
}

// printUsage prints the usage line of a command, its text and its own flags.
func printUsage(w io.Writer, cmd *cobra.Command) {
	path, args, _ := strings.Cut(cmd.Use, " ")
	path = strings.TrimSpace(cmd.Parent().CommandPath() + " " + path)
	if cmd.HasAvailableSubCommands() {
		args = "COMMAND"
	}
	fmt.Fprintf(w, "Usage: %s\n\n%s\n", strings.TrimSpace(path+" [flags] "+args),
		strings.TrimSpace(cmp.Or(cmd.Long, cmd.Short)))
	if cmd.HasAvailableSubCommands() {
		return // its flags are those of the commands
	}
	elsewhere := []string{"help"} // flags that are printed elsewhere
	if cmd.Flags().Lookup("queue-url") != nil {
		elsewhere = append(elsewhere, settings.Names()...)
	}
	before := "\n"
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if f.Hidden || slices.Contains(elsewhere, f.Name) {
			return
		}
		value, text := pflag.UnquoteUsage(f)
		if f.DefValue != "" && f.DefValue != "false" && f.DefValue != "0s" {
			text += " (default " + f.DefValue + ")"
		}
		fmt.Fprintf(w, "%s  %s\n        %s\n", before, strings.TrimSpace("--"+f.Name+" "+value), text)
		before = ""
	})
}
