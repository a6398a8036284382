package settings

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ErrHelp: the user asked for -h and got it; exit 0.
var ErrHelp = flag.ErrHelp

// UsageError is bad usage: every problem on a line of its own. The process exits with 2.
type UsageError struct{ Problems []string }

func (e *UsageError) Error() string { return strings.Join(e.Problems, "\n") }

// given remembers what the command line said; the variable is asked only for the rest.
type given struct {
	value  string
	set    bool
	isBool bool
}

func (g *given) String() string     { return g.value }
func (g *given) Set(v string) error { g.value, g.set = v, true; return nil }
func (g *given) IsBoolFlag() bool   { return g.isBool }

// Parse reads the flags of args, and for each that is absent its variable; an empty variable is unset. It
// returns ErrHelp after printing the help to help, or a *UsageError.
func Parse(args []string, getenv func(string) string, help io.Writer) (Settings, error) {
	s, rest, err := ParseVerb(args, getenv, func(*flag.FlagSet) {})
	if errors.Is(err, ErrHelp) {
		Usage(help)
	}
	if err == nil && len(rest) > 0 {
		return Settings{}, &UsageError{[]string{fmt.Sprintf("unexpected argument %q (see -h)", rest[0])}}
	}
	return s, err
}

// ParseVerb is Parse for a verb, which defines flags of its own beside the knobs, without variables. Arguments
// that are no flags are returned in their order, wherever they stood. ErrHelp prints nothing: the help is the
// verb's.
func ParseVerb(args []string, getenv func(string) string, define func(*flag.FlagSet)) (s Settings, rest []string, err error) {
	fs := flag.NewFlagSet("imagery", flag.ContinueOnError)
	fs.SetOutput(io.Discard)
	values := map[string]*given{}
	for _, k := range knobs {
		values[k.flag] = &given{isBool: k.isBool}
		fs.Var(values[k.flag], k.flag, k.usage)
	}
	define(fs)
	for len(args) > 0 { // package flag stops at the first argument that is none
		if err := fs.Parse(args); errors.Is(err, flag.ErrHelp) {
			return Settings{}, nil, ErrHelp
		} else if err != nil {
			return Settings{}, nil, &UsageError{[]string{err.Error() + " (see -h)"}}
		}
		if args = fs.Args(); len(args) > 0 {
			rest, args = append(rest, args[0]), args[1:]
		}
	}
	s, err = read(values, getenv)
	return s, rest, err
}

// read makes settings of what the command line gave and of the variables.
func read(values map[string]*given, getenv func(string) string) (Settings, error) {
	var s Settings
	var bad []string
	for _, k := range knobs {
		v := k.lookup(values[k.flag], getenv)
		if v == "" {
			continue
		}
		if err := k.read(&s, v); err != nil {
			bad = append(bad, fmt.Sprintf("%s %q: %v (%s)", k.flag, v, cause(err), named(k.flag)))
		}
	}
	listen, err := address(s.Listen, s.Role)
	if err != nil {
		bad = append(bad, fmt.Sprintf("listen %q: %v (%s)", s.Listen, err, named("listen")))
	}
	if len(bad) == 0 { // else the zero fields would be complained about a second time
		bad = s.validate()
	}
	if len(bad) > 0 {
		return Settings{}, &UsageError{bad}
	}
	s.Listen = listen
	s.preset()
	return s, nil
}

// lookup is the flag, or else the first variable that is set, or else the default.
func (k knob) lookup(g *given, getenv func(string) string) string {
	if g.set && g.value != "" {
		return g.value
	}
	for _, name := range k.env {
		if v := getenv(name); v != "" {
			return v
		}
	}
	return k.def
}

// cause drops the wrapping of strconv, which repeats the value.
func cause(err error) error {
	for errors.Unwrap(err) != nil {
		err = errors.Unwrap(err)
	}
	return err
}

// Env renders the settings as NAME=value lines that Parse reads back to the same Settings.
func (s Settings) Env() []string {
	var env []string
	for _, k := range knobs {
		if v := k.show(s); v != "" {
			env = append(env, k.env[0]+"="+v)
		}
	}
	return env
}

// Usage prints every knob with its variable and default.
func Usage(w io.Writer) {
	fmt.Fprint(w, "imagery turns photos sepia and loses nothing while servers die.\n\n"+
		"Usage: imagery [flags]            run a role, by default the whole service on this machine\n"+
		"       imagery VERB [flags]       see imagery VERB -h; verbs: "+strings.Join(Verbs, ", ")+"\n\n"+
		"A flag wins over its variable; an empty variable counts as unset. Region, credentials and endpoints\n"+
		"come from the AWS SDK's own variables.\n\n")
	Describe(w)
	fmt.Fprint(w, "\nExit codes: 0 clean stop, 1 failure, 2 bad usage.\n")
}

// Describe prints the knobs with those flags, or all of them, each with its variables, default and reason.
func Describe(w io.Writer, flags ...string) {
	for _, k := range knobs {
		if len(flags) > 0 && !slices.Contains(flags, k.flag) {
			continue
		}
		def := k.def
		if def != "" {
			def = ", default " + def
		}
		fmt.Fprintf(w, "  -%s  (%s%s)\n        %s\n", k.flag, strings.Join(k.env, ", else "), def, k.usage)
	}
}
