package fleet

import (
	"context"
	"io"
	"os"
	"time"
)

// parentEnv is set for a process that a fleet started. Its standard input is a pipe that the fleet keeps open: the end
// of that pipe is the only notice of the fleet's death that all operating systems give.
const (
	parentEnv   = "IMAGERY_PARENT"
	parentStdin = "stdin"
)

// orphanGrace limits how long a process may take to stop after its fleet has ended. It must be gone within a second.
const orphanGrace = 500 * time.Millisecond

// WatchParent returns a copy of ctx that also ends when the fleet that started this process ends for any reason. It
// calls exit, which must end the process, half a second later. In a process that no fleet started it returns ctx.
func WatchParent(ctx context.Context, exit func()) context.Context {
	if os.Getenv(parentEnv) != parentStdin {
		return ctx
	}
	os.Unsetenv(parentEnv) // a grandchild has another standard input
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		io.Copy(io.Discard, os.Stdin) // an error also means that the fleet has ended
		cancel()
		time.Sleep(orphanGrace)
		exit()
	}()
	return ctx
}
