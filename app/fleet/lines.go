package fleet

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// longestLine in bytes; a longer one is cut, so that a child without line ends cannot fill the memory.
const longestLine = 1 << 20

// lines passes on what one process writes, line by line, each in one write behind the name of its child, so
// that lines of different processes never mix on a terminal or in a file. It is written to by one goroutine.
type lines struct {
	mu   *sync.Mutex // shared by all that write to the same place
	to   io.Writer
	name string
	seen func(line string) // may be nil

	rest []byte // the beginning of a line
	last string // the last line that was not empty
}

// Write never fails: a child must not die because nobody reads its output any more.
func (l *lines) Write(p []byte) (int, error) {
	l.rest = append(l.rest, p...)
	for {
		line, rest, ok := bytes.Cut(l.rest, []byte("\n"))
		if !ok {
			break
		}
		l.emit(line)
		l.rest = rest
	}
	if len(l.rest) >= longestLine {
		l.flush()
	}
	return len(p), nil
}

// flush passes on a last line without an end.
func (l *lines) flush() {
	if len(l.rest) > 0 {
		l.emit(l.rest)
		l.rest = nil
	}
}

func (l *lines) emit(line []byte) {
	text := strings.TrimSuffix(string(line), "\r")
	l.mu.Lock()
	io.WriteString(l.to, l.name+" | "+text+"\n")
	l.mu.Unlock()
	if text != "" {
		l.last = text
	}
	if l.seen != nil {
		l.seen(text)
	}
}

// listeningOn reads the address out of the line that every listener prints.
func listeningOn(line string) (addr string, ok bool) {
	return strings.CutPrefix(line, "listening on http://")
}
