package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/aws/smithy-go"

	"imagery/app/client"
)

// Console holds the output of a command and the input for its questions.
type Console struct {
	Out io.Writer
	Err io.Writer
	// OutTerminal is set if Out is a terminal, on which status --watch overwrites the page before.
	OutTerminal bool
	// ErrTerminal is set if Err is a terminal, on which long commands show their progress.
	ErrTerminal bool
	// In is the terminal that a person answers at; nil if there is none.
	In io.Reader
}

// printJSON prints v as an indented JSON document.
func (c Console) printJSON(v any) error {
	enc := json.NewEncoder(c.Out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// table prints rows in aligned columns. An empty cell becomes "-", so that every row has the same number of cells.
// Control characters become spaces: text from outside, such as the body of a malformed message, must not break columns
// or send commands to the terminal.
func (c Console) table(rows [][]string) error {
	w := tabwriter.NewWriter(c.Out, 0, 0, 2, ' ', 0)
	for _, row := range rows {
		for i, cell := range row {
			if row[i] = client.Printable(cell); row[i] == "" {
				row[i] = "-"
			}
		}
		fmt.Fprintln(w, strings.Join(row, "\t"))
	}
	return w.Flush()
}

// width is the number of columns that every terminal has.
const width = 80

// wrapped prints text in lines of at most width columns. The first line begins with first, the others with rest. A
// word that is longer than a line, such as an ARN, is not broken.
func (c Console) wrapped(first, rest, text string) {
	line := first
	for i, word := range strings.Fields(client.Printable(text)) {
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

// progress shows line, called again and again, on Err until done is called. It shows nothing unless Err is a terminal.
func (c Console) progress(line func() string) (done func()) {
	if !c.ErrTerminal {
		return func() {}
	}
	stop := make(chan struct{})
	var ended sync.WaitGroup
	ended.Go(func() {
		for {
			select {
			case <-stop:
				fmt.Fprint(c.Err, "\r\x1b[K")
				return
			case <-time.After(200 * time.Millisecond):
				fmt.Fprint(c.Err, "\r\x1b[K"+line())
			}
		}
	})
	return func() { close(stop); ended.Wait() }
}

// errInterrupted ends a command that was stopped half-way. What it has done is printed before.
var errInterrupted = errors.New("interrupted")

// interrupted returns errInterrupted if ctx has ended.
func interrupted(ctx context.Context) error {
	if ctx.Err() != nil {
		return errInterrupted
	}
	return nil
}

// readable shortens the text of an error of the AWS SDK to one line: which service refused which call, and why.
func readable(err error) error {
	operation := (*smithy.OperationError)(nil)
	if !errors.As(err, &operation) {
		return err
	}
	service, call, cause := operation.Service(), operation.Operation(), error(operation)
	for next := cause; next != nil; next = errors.Unwrap(cause) {
		cause = next
	}
	text := fmt.Sprintf("%s did not answer %s: %v", service, call, cause)
	if api := smithy.APIError(nil); errors.As(operation, &api) {
		text = fmt.Sprintf("%s refused %s: %s: %s", service, call, api.ErrorCode(), api.ErrorMessage())
	}
	return &readableError{strings.Replace(err.Error(), operation.Error(), text, 1), err}
}

// readableError is an error with another text.
type readableError struct {
	text string
	err  error
}

func (e *readableError) Error() string { return e.text }
func (e *readableError) Unwrap() error { return e.err }

// errorText returns the readable text of an error.
func errorText(err error) string { return readable(err).Error() }

// formatTime returns t in UTC as RFC 3339, "" for the zero time.
func formatTime(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// age formats a duration with its largest units only, as in "5s", "3h20m" or "12d".
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

// plural returns a number with a noun, as in "1 image" or "2 images".
func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

// nonZero returns n as text, "" for 0.
func nonZero(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
