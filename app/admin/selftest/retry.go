package selftest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"
)

// permanentError marks a failure of this machine's own work, such as a wrong pixel.
type permanentError struct{ error }

// Unwrap returns the cause.
func (e permanentError) Unwrap() error { return e.error }

// permanent marks err as one that waiting does not mend.
func permanent(err error) error { return permanentError{err} }

// IsPermanent reports whether err contains a failure that waiting does not mend: the machine does the job wrongly.
// Everything else, a refusal or a timeout say, may end when rights, endpoints or a service arrive.
func IsPermanent(err error) bool {
	_, is := errors.AsType[permanentError](err)
	return is
}

// Retry repeats attempt with a pause in between until it succeeds, fails permanently, or has failed for the time of
// within. It shows out the lines of the last attempt only, and one line each time the reason for waiting changes.
func Retry(
	ctx context.Context, within, pause time.Duration, attempt func(context.Context, io.Writer) error, out io.Writer,
) error {
	begun, reason := time.Now(), ""
	for {
		var lines bytes.Buffer
		err := attempt(ctx, &lines)
		left := within - time.Since(begun)
		if err == nil || IsPermanent(err) || left <= 0 || ctx.Err() != nil {
			_, wErr := lines.WriteTo(out)
			return errors.Join(err, wErr)
		}
		if first, _, _ := strings.Cut(err.Error(), "\n"); first != reason {
			reason = first
			fmt.Fprintf(out, "not yet, repeated for %s more: %s\n", left.Round(time.Second), reason)
		}
		select {
		case <-ctx.Done():
		case <-time.After(min(pause, left)):
		}
	}
}
