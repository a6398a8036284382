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

// bell wakes receivers in all processes of the data folder. Each process that receives listens on a datagram
// socket in the wake folder; a process that sends a message rings all of them. Where that is not possible
// (no unixgram sockets, or a path longer than the 107 bytes that a socket's name may have) receivers poll.
type bell struct {
	dir  string
	root *os.Root // of dir
	log  *slog.Logger

	mu     sync.Mutex    // guards what follows, but for once
	rung   chan struct{} // closed at the next ring, then replaced
	once   sync.Once
	socket *net.UnixConn
}

// sockets numbers the sockets of this process: tests open several stores in one.
var sockets atomic.Int64

// newBell returns a bell that does not listen yet.
func newBell(dir string, root *os.Root, log *slog.Logger) *bell {
	return &bell{dir: dir, root: root, log: log, rung: make(chan struct{})}
}

// next returns a channel that is closed at the next ring. The first call starts to listen, so that processes
// that only send have no socket.
func (b *bell) next() <-chan struct{} {
	b.once.Do(b.listen)
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rung
}

// listen makes this process's socket. Without one it is only slower, so that is a warning and no error.
func (b *bell) listen() {
	below := filepath.Join(wakeName, fmt.Sprintf("%d-%d.sock", os.Getpid(), sockets.Add(1)))
	if info, err := b.root.Lstat(below); err == nil && isSocket(info.Mode()) {
		b.root.Remove(below) // left by a process that died and had our number
	}
	name := filepath.Join(b.dir, below)
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err != nil {
		b.log.Warn("cannot be woken when a message arrives: polling instead, "+
			"which reacts later; a shorter path of the data folder helps",
			"socket", name, "bytes", len(name), "error", err)
		return
	}
	b.mu.Lock()
	b.socket = socket
	b.mu.Unlock()
	go func() {
		for buf := make([]byte, 1); ; {
			if _, err := socket.Read(buf); err != nil {
				return // closed; on any other error, too, polling is better than spinning
			}
			b.mu.Lock() // one ring wakes all receivers of this process: each of them may have room
			close(b.rung)
			b.rung = make(chan struct{})
			b.mu.Unlock()
		}
	}()
}

// ring wakes all receivers, and removes sockets that no process listens on any more. It is a hint: errors only
// make a receiver find its message at its next poll. Files that are no sockets of ours are left alone.
func (b *bell) ring() {
	entries, _ := fs.ReadDir(b.root.FS(), wakeName)
	for _, e := range entries {
		if !isSocket(e.Type()) || !socketForm.MatchString(e.Name()) {
			continue
		}
		below := filepath.Join(wakeName, e.Name())
		name := filepath.Join(b.dir, below)
		conn, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: name, Net: "unixgram"})
		if errors.Is(err, syscall.ECONNREFUSED) {
			b.root.Remove(below)
		}
		if err != nil {
			continue
		}
		// A stopped process does not empty its socket: do not wait for it, it has been rung often enough.
		conn.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
		conn.Write([]byte{1})
		conn.Close()
	}
}

// close stops listening. Receivers that still wait keep polling.
func (b *bell) close() error {
	b.once.Do(func() {})
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.socket == nil {
		return nil
	}
	name := filepath.Base(b.socket.LocalAddr().String())
	return errors.Join(b.socket.Close(), b.root.Remove(filepath.Join(wakeName, name)))
}
