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

// notifier wakes receivers in all processes of the data folder. Each process that receives listens on a datagram
// socket in the wake folder; a process that sends a message rings all of them. Where that is not possible
// (no unixgram sockets, or a path longer than the 107 bytes that a socket's name may have) receivers poll.
type notifier struct {
	dir  string
	root *os.Root // of dir
	log  *slog.Logger

	mu       sync.Mutex    // guards what follows, but for once
	notified chan struct{} // closed at the next ring, then replaced
	once     sync.Once
	socket   *net.UnixConn
}

// sockets numbers the sockets of this process: tests open several stores in one.
var sockets atomic.Int64

// newNotifier returns a notifier that does not listen yet.
func newNotifier(dir string, root *os.Root, log *slog.Logger) *notifier {
	return &notifier{dir: dir, root: root, log: log, notified: make(chan struct{})}
}

// next returns a channel that is closed at the next ring. The first call starts to listen, so that processes
// that only send have no socket.
func (n *notifier) wait() <-chan struct{} {
	n.once.Do(n.listen)
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.notified
}

// listen makes this process's socket. Without one it is only slower, so that is a warning and no error.
func (n *notifier) listen() {
	below := filepath.Join(wakeName, fmt.Sprintf("%d-%d.sock", os.Getpid(), sockets.Add(1)))
	if info, err := n.root.Lstat(below); err == nil && isSocket(info.Mode()) {
		n.root.Remove(below) // left by a process that died and had our number
	}
	name := filepath.Join(n.dir, below)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		n.log.Warn("cannot be woken when a message arrives: polling instead, "+
			"which reacts later; a shorter path of the data folder helps",
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
			n.mu.Lock() // one ring wakes all receivers of this process: each of them may have room
			close(n.notified)
			n.notified = make(chan struct{})
			n.mu.Unlock()
		}
	}()
}

// ring wakes all receivers, and removes sockets that no process listens on any more. It is a hint: errors only
// make a receiver find its message at its next poll. Files that are no sockets of ours are left alone.
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
		// A stopped process does not empty its socket: do not wait for it, it has been notified often enough.
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
