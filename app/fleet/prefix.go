package fleet

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// maxLine is the length, in bytes, at which a line is split, so that output without line ends uses bounded memory.
const maxLine = 1 << 20

// linePrefixer copies the output of one process line by line, with the name of its child in front. Each line is one
// write, so lines of different processes do not mix. It is not safe for concurrent use.
type linePrefixer struct {
	mu     *sync.Mutex // shared by all writers to the same destination
	to     io.Writer
	name   string
	onLine func(line string) // may be nil

	rest []byte // an incomplete line
	last string // the last line that was not empty
}

// Write never fails, because a child must not die when the output of the fleet has no reader.
func (l *linePrefixer) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			break
		}
		l.emit(line)
		l.rest = rest
	}
	if len(l.rest) >= maxLine {
		l.flush()
	}
	return len(p), nil
}

// flush writes an incomplete last line.
func (l *linePrefixer) flush() {
	if len(l.rest) > 0 {
		l.emit(l.rest)
		l.rest = nil
	}
}

func (l *linePrefixer) emit(line []byte) {
	text := strings.TrimSuffix(string(line), "\r")
	l.mu.Lock()
	io.WriteString(l.to, l.name+" | "+text+"\n")
	l.mu.Unlock()
	if text != "" {
		l.last = text
	}
	if l.onLine != nil {
		l.onLine(text)
	}
}

// listeningOn returns the address from the line that a process prints when it listens.
func listeningOn(line string) (addr string, ok bool) {
	return strings.CutPrefix(line, "listening on http://")
}
