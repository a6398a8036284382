package nspawn

import (
	"bytes"
	"fmt"
	"io"
	"math"
	"os"
)

// Logs reads the logs of the services of all machines.
type Logs struct {
	host *Host
	at   map[string]int64 // offset read so far, by machine
}

// Logs returns a reader that begins at the first line.
func (h *Host) Logs() *Logs { return &Logs{h, map[string]int64{}} }

// serviceLog is the path of a service's log.
const serviceLog = "/var/log/imagery/imagery.log"

// Read passes new lines. The last lines before a machine powered off are lost, as they may be on AWS.
func (l *Logs) Read(line func([]byte)) {
	for _, m := range l.host.Machines() {
		l.read(m.ID, fmt.Sprintf("/proc/%d/root%s", l.host.Leader(m.ID), serviceLog), line)
	}
}

func (l *Logs) read(id, path string, line func([]byte)) {
	f, err := os.Open(path)
	if err != nil {
		return // before the service was installed, or when the machine powers off
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size() < l.at[id] {
		l.at[id] = 0 // it was truncated by a rotation, or the machine was booted again
	}
	text, err := io.ReadAll(io.NewSectionReader(f, l.at[id], math.MaxInt64-l.at[id]))
	if err != nil {
		return
	}
	whole := text[:bytes.LastIndexByte(text, '\n')+1]
	l.at[id] += int64(len(whole))
	for text := range bytes.Lines(whole) {
		line(text)
	}
}
