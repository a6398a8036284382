package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
)

// notifySystemd tells systemd, if it runs this process, that the process is ready. It then sends the watchdog ping at
// half of the watchdog interval while the process's own listener answers /healthz, so that systemd restarts a process
// that hangs.
func notifySystemd(ctx context.Context, l net.Listener, log *slog.Logger) {
	notify := func(state string) {
		if _, err := daemon.SdNotify(false, state); err != nil {
			log.Warn("could not notify systemd", "state", state, "error", err)
		}
	}
	notify(daemon.SdNotifyReady)
	context.AfterFunc(ctx, func() { notify(daemon.SdNotifyStopping) })
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		log.Warn("could not read the watchdog interval of systemd", "error", err)
	}
	if err != nil || interval == 0 {
		return
	}
	go func() {
		client := http.Client{Timeout: interval / 2}
		for range time.Tick(interval / 2) { // until the process ends, so that the watchdog does not interrupt a drain
			if alive(&client, l) {
				notify(daemon.SdNotifyWatchdog)
			} else {
				log.Error("own /healthz does not answer: no watchdog ping sent")
			}
		}
	}()
}

// alive reports whether the process's own listener answers /healthz. Only a refused connection means that the listener
// is closed, in a process that is draining; any other error (no file descriptors left, a full backlog) is a failure.
func alive(client *http.Client, l net.Listener) bool {
	res, err := client.Get(fmt.Sprintf("http://127.0.0.1:%d/healthz", l.Addr().(*net.TCPAddr).Port))
	if err != nil {
		return errors.Is(err, syscall.ECONNREFUSED)
	}
	res.Body.Close()
	return res.StatusCode == http.StatusOK
}
