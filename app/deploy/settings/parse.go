package settings

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// UsageError reports bad usage, one problem per line. The process exits with 2.
type UsageError struct{ Problems []string }

func (e *UsageError) Error() string { return strings.Join(e.Problems, "\n") }

// flagValue records what the command line said. It is read later, since a variable counts when the flag is absent.
type flagValue struct {
	value   string
	boolean bool
}

func (v *flagValue) String() string     { return v.value }
func (v *flagValue) Set(s string) error { v.value = s; return nil }
func (v *flagValue) IsBoolFlag() bool   { return v.boolean }

// Define adds a flag for every setting to fs. Once fs has parsed the command line, read returns the settings: for each
// the flag, else the first variable that is set, else the default. An empty flag or variable counts as unset. The
// error is a *UsageError that names every problem.
func Define(fs *flag.FlagSet) (read func(getenv func(string) string) (Settings, error)) {
	values := make([]flagValue, len(options))
	for i, o := range options {
		values[i].boolean = o.boolean()
		fs.Var(&values[i], o.flag, o.usage)
	}
	return func(getenv func(string) string) (Settings, error) {
		return build(func(i int) string {
			if values[i].value != "" {
				return values[i].value
			}
			for _, name := range options[i].variables() {
				if v := getenv(name); v != "" {
					return v
				}
			}
			return options[i].def
		})
	}
}

// FromEnv returns the settings of a process that is started without flags.
func FromEnv(getenv func(string) string) (Settings, error) {
	return Define(flag.NewFlagSet("", flag.ContinueOnError))(getenv)
}

// build makes settings of the text of each option.
func build(text func(i int) string) (Settings, error) {
	var s Settings
	var problems []string
	for i, o := range options {
		v := text(i)
		if v == "" {
			continue
		}
		if err := o.parse(&s, v); err != nil {
			problems = append(problems, fmt.Sprintf("%s %q: %v (%s)", o.flag, v, innermost(err), Named(o.flag)))
		}
	}
	listen, err := address(s.Listen, s.Role)
	if err != nil {
		problems = append(problems, fmt.Sprintf("listen %q: %v (%s)", s.Listen, err, Named("listen")))
	}
	if len(problems) == 0 { // otherwise zero fields would be reported a second time
		problems = s.validate()
	}
	if len(problems) > 0 {
		return Settings{}, &UsageError{problems}
	}
	s.Listen = listen
	s.setDefaults()
	return s, nil
}

// innermost drops the wrapping of strconv, which repeats the value.
func innermost(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// Env returns the settings as NAME=value lines from which FromEnv reads the same Settings.
func (s Settings) Env() []string {
	var env []string
	for _, o := range options {
		if v := o.format(s); v != "" {
			env = append(env, o.variables()[0]+"="+v)
		}
	}
	return env
}

// Describe prints the settings with those flags, or all of them, each with its variables, default and documentation.
func Describe(w io.Writer, flags ...string) {
	for _, o := range options {
		if len(flags) > 0 && !slices.Contains(flags, o.flag) {
			continue
		}
		def := o.def
		if def != "" {
			def = ", default " + def
		}
		fmt.Fprintf(w, "  --%s  (%s%s)\n        %s\n", o.flag, strings.Join(o.variables(), ", else "), def, o.usage)
	}
}

// Names returns the flags of all settings.
func Names() []string {
	var names []string
	for _, o := range options {
		names = append(names, o.flag)
	}
	return names
}
