package cli

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"imagery/app/deploy/settings"
)

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
