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

// permanentError is an error that retrying cannot fix, such as a wrong pixel.
type permanentError struct{ error }

func (e permanentError) Unwrap() error { return e.error }

// IsPermanent reports whether err contains an error that retrying cannot fix: this machine produces wrong results.
// Other errors, such as a denied call or a timeout, may end once permissions, endpoints or a service become available.
func IsPermanent(err error) bool {
	_, is := errors.AsType[permanentError](err)
	return is
}

// Retry calls attempt, with a pause in between, until it succeeds, fails permanently, or has failed for the time of
// within. It writes to out only the lines of the last attempt, and one line whenever the reason for retrying changes.
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
