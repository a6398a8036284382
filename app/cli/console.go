package cli

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/aws/smithy-go"
)

// Console is where a verb speaks.
type Console struct {
	Out io.Writer
	Err io.Writer
	// Live says that a person watches Err: then long work shows how far it is, on one line that is cleared in
	// the end.
	Live bool
	// Screen says that Out is a terminal: what is refreshed may be written over.
	Screen bool
	// In is where a person answers; nil where nobody can.
	In io.Reader
}

// jsonFlag defines the flag that every verb has.
func jsonFlag(fs *flag.FlagSet) *bool {
	return fs.Bool("json", false, "print one JSON document instead of text")
}

// document prints v as JSON.
func (c Console) document(v any) error {
	enc := json.NewEncoder(c.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// columns prints aligned rows; the first is the heading.
func (c Console) columns(rows [][]string) error {
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if row[i] = oneLine(cell); row[i] == "" {
				row[i] = "-" // an empty cell would shift the fields of a script
			}
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// facts prints names and values below each other.
func (c Console) facts(pairs [][2]string) error {
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	for _, p := range pairs {
		fmt.Fprintln(w, p[0]+"\t"+oneLine(p[1]))
	}
	return w.Flush()
}

// width is how many columns a terminal surely has.
const width = 80

// wrapped prints a text in lines that fit, the first behind first, the others behind rest. What cannot be broken, an
// ARN or a command, stays whole.
func (c Console) wrapped(first, rest, text string) {
	line := first
	for i, word := range strings.Fields(text) {
		if i > 0 && len([]rune(line))+len([]rune(word))+1 > width {
			fmt.Fprintln(c.Out, strings.TrimRight(line, " "))
			line = rest
		} else if i > 0 {
			line += " "
		}
		line += word
	}
	fmt.Fprintln(c.Out, line)
}

// oneLine keeps what others wrote, such as the body of a malformed message, from breaking columns or a terminal.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, s)
}

// watch shows a line that changes until the returned function is called; nothing if nobody watches.
func (c Console) watch(line func() string) (done func()) {
	if !c.Live {
		return func() {}
	}
	stop := make(chan struct{})
	var over sync.WaitGroup
	over.Go(func() {
		tick := time.NewTicker(200 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				fmt.Fprint(c.Err, "\r\x1b[K")
				return
			case <-tick.C:
				fmt.Fprint(c.Err, "\r\x1b[K"+line())
			}
		}
	})
	return sync.OnceFunc(func() { close(stop); over.Wait() })
}

// errInterrupted ends a verb that was stopped half-way; what it has done is printed before.
var errInterrupted = errors.New("interrupted")

// interrupted is the error of ctx in words for who interrupted it.
func interrupted(ctx context.Context) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return nil
}

// Clear rewrites an error of the AWS SDK so that a person sees first what was refused, and why, in one line.
func Clear(err error) error {
	operation := (*smithy.OperationError)(nil)
	if !errors.As(err, &operation) {
		return err
	}
	said := fmt.Sprintf("%s did not answer %s: %v", operation.Service(), operation.Operation(), innermost(operation))
	if api := smithy.APIError(nil); errors.As(operation, &api) {
		said = fmt.Sprintf("%s refused %s: %s: %s", operation.Service(), operation.Operation(), api.ErrorCode(), api.ErrorMessage())
	}
	return &cleared{strings.Replace(err.Error(), operation.Error(), said, 1), err}
}

func innermost(err error) error {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err
}

// cleared is an error in other words.
type cleared struct {
	text string
	err  error
}

func (e *cleared) Error() string { return e.text }
func (e *cleared) Unwrap() error { return e.err }

// say is the text of an error for a row.
func say(err error) string { return Clear(err).Error() }

// stamp is a time as the verbs print it.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// age is a duration without the digits that nobody needs.
func age(d time.Duration) string {
	switch {
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	default:
		return fmt.Sprintf("%dd", int(d.Hours()/24))
	}
}
