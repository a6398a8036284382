package fleet

import (
	"context"
	"errors"
	"io"
	"os"
	"time"
)

// parentEnv tells a process that a fleet started it, and that its standard input is a pipe that the fleet
// holds open. The end of that input is the only sign of the fleet's death that every system delivers.
const (
	parentEnv   = "IMAGERY_PARENT"
	parentStdin = "stdin"
)

// ErrParentGone is the cause of a context that ended because the fleet did.
var ErrParentGone = errors.New("the fleet that started this process is gone")

// orphanGrace is what an orphan gets to end by itself; it must be gone within a second.
const orphanGrace = 500 * time.Millisecond

// WatchParent returns a copy of ctx that ends also when the fleet that started this process is gone, however
// that happened. exit is called half a second later: by then the process must not exist any more. In a process
// that no fleet started it returns ctx.
func WatchParent(ctx context.Context, exit func()) context.Context {
	if os.Getenv(parentEnv) != parentStdin {
		return ctx
	}
	os.Unsetenv(parentEnv) // a grandchild has another standard input
	ctx, cancel := context.WithCancelCause(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin) // an error is an end, too
		cancel(ErrParentGone)
		time.Sleep(orphanGrace)
		exit()
	}()
	return ctx
}
