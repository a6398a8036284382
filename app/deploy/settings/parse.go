package settings

import (
	"cmp"
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

// Define adds a flag for every setting to fs. Once fs has parsed the command line, read returns the settings: for each
// the flag, else the first variable that is set, else the default. An empty flag or variable counts as unset. The
// error is a *UsageError that names every problem.
func Define(fs *flag.FlagSet) (read func(getenv func(string) string) (Settings, error)) {
	given := map[string]string{}
	for _, o := range options {
		set := func(v string) error { given[o.flag] = v; return nil }
		if _, boolean := o.field(&Settings{}).(*bool); boolean {
			fs.BoolFunc(o.flag, o.usage, set)
		} else {
			fs.Func(o.flag, o.usage, set)
		}
	}
	return func(getenv func(string) string) (s Settings, err error) {
		var problems []string
		for _, o := range options {
			v := cmp.Or(given[o.flag], getenv(variable(o.flag)), getenv(o.fallback), o.def)
			if v == "" {
				continue
			}
			if err := o.parse(&s, v); err != nil {
				err = cmp.Or(errors.Unwrap(err), err) // package strconv repeats the value
				problems = append(problems, fmt.Sprintf("%s %q: %v (%s)", o.flag, v, err, Named(o.flag)))
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
}

// FromEnv returns the settings of a process that is started without flags.
func FromEnv(getenv func(string) string) (Settings, error) {
	return Define(flag.NewFlagSet("", flag.ContinueOnError))(getenv)
}

// Env returns the settings as NAME=value lines from which FromEnv reads the same Settings.
func (s Settings) Env() []string {
	var env []string
	for _, o := range options {
		if v := o.format(s); v != "" {
			env = append(env, variable(o.flag)+"="+v)
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
		about := variable(o.flag)
		if o.fallback != "" {
			about += ", else " + o.fallback
		}
		if o.def != "" {
			about += ", default " + o.def
		}
		fmt.Fprintf(w, "  --%s  (%s)\n        %s\n", o.flag, about, o.usage)
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
