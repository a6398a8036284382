package local

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// notifier wakes receivers in all processes of the data folder. Each receiving process listens on a datagram socket in
// the wake folder; a process that sends a message writes to all of them. Without sockets (no unixgram support, or a
// path over the limit of 107 bytes for a socket name) receivers poll.
type notifier struct {
	dir  string
	root *os.Root // of dir
	log  *slog.Logger

	mu       sync.Mutex    // guards notified and socket
	notified chan struct{} // closed and replaced at each notification
	once     sync.Once
	socket   *net.UnixConn
}

// sockets numbers the sockets of this process: tests open several stores in one.
var sockets atomic.Int64

// newNotifier returns a notifier that does not listen until wait is called.
func newNotifier(dir string, root *os.Root, log *slog.Logger) *notifier {
	return &notifier{dir: dir, root: root, log: log, notified: make(chan struct{})}
}

// wait returns a channel that is closed at the next notification. The first call starts to listen, so that processes
// that only send have no socket.
func (n *notifier) wait() <-chan struct{} {
	n.once.Do(n.listen)
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.notified
}

// listen creates the socket of this process. Without one receivers only react later, so listen logs a warning.
func (n *notifier) listen() {
	below := filepath.Join(wakeName, fmt.Sprintf("%d-%d.sock", os.Getpid(), sockets.Add(1)))
	if info, err := n.root.Lstat(below); err == nil && isSocket(info.Mode()) {
		n.root.Remove(below) // left by a dead process with the same pid
	}
	name := filepath.Join(n.dir, below)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		n.log.Warn("no notification of new messages, polling instead, which reacts later: "+
			"use a shorter path for the data folder",
			"socket", name, "bytes", len(name), "error", err)
		return
	}
	n.mu.Lock()
	n.socket = socket
	n.mu.Unlock()
	go func() {
		for buf := make([]byte, 1); ; {
			if _, err := socket.Read(buf); err != nil {
				return // closed; on any other error, too, polling is better than spinning
			}
			n.mu.Lock() // wake all receivers of this process: any of them may have capacity
			close(n.notified)
			n.notified = make(chan struct{})
			n.mu.Unlock()
		}
	}()
}

// notify wakes all receivers and removes sockets on which no process listens any more. It is best effort: after an
// error a receiver finds its message at its next poll. Other files are left alone.
func (n *notifier) notify() {
	entries, _ := fs.ReadDir(n.root.FS(), wakeName)
	for _, e := range entries {
		if !isSocket(e.Type()) || !socketForm.MatchString(e.Name()) {
			continue
		}
		below := filepath.Join(wakeName, e.Name())
		name := filepath.Join(n.dir, below)
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
		if errors.Is(err, syscall.ECONNREFUSED) {
			n.root.Remove(below)
		}
		if err != nil {
			continue
		}
		// Do not block on a stopped process whose socket is full: it has enough notifications.
		conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		conn.Write([]byte{1})
		conn.Close()
	}
}

// close stops listening. Receivers that still wait keep polling.
func (n *notifier) close() error {
	n.once.Do(func() {})
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.socket == nil {
		return nil
	}
	name := filepath.Base(n.socket.LocalAddr().String())
	return errors.Join(n.socket.Close(), n.root.Remove(filepath.Join(wakeName, name)))
}
