package main

import (
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

// A process that drains has closed its listener and must not be ended by the watchdog; one whose listener is open but
// does not accept is dead.
func TestWatchdogTellsDrainingFromDead(t *testing.T) {
	client := &http.Client{Timeout: 300 * time.Millisecond}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if !alive(client, l) {
		t.Error("a closed listener counts as dead")
	}

	full := fullListener(t)
	if alive(client, full) {
		t.Error("a listener whose backlog is full counts as alive")
	}
}

// fullListener returns a listener whose backlog is full: further connections time out.
func fullListener(t *testing.T) net.Listener {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	file := os.NewFile(uintptr(fd), "listener")
	defer file.Close()
	l, err := net.FileListener(file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	for range 8 {
		conn, err := net.DialTimeout("tcp", l.Addr().String(), 100*time.Millisecond)
		if err != nil {
			return l
		}
		t.Cleanup(func() { conn.Close() })
	}
	t.Fatal("the backlog is never full")
	return nil
}
