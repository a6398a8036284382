// Package frame is how the benchmark talks to a long-lived process that filters photos: a line of JSON and then
// bytes, in both directions, one request at a time. sharp.mjs speaks it, too.
package frame

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Hello is the first line of a process.
type Hello struct {
	Versions string `json:"versions"` // of what filters, as the report names it
}

// Request asks for one photo; Size bytes follow.
type Request struct {
	Look   string `json:"look"`   // what to do; each process knows its own
	Format string `json:"format"` // of the result: jpeg or png
	Size   int    `json:"size"`
}

// Reply says what the photo cost; Size bytes follow. Reading the request and writing the reply is not in it, for
// that is the benchmark's own doing.
type Reply struct {
	Nanos     int64  `json:"nanos"`     // from bytes in memory to bytes in memory
	CPUMicros int64  `json:"cpuMicros"` // of the process so far, all its threads
	Mallocs   uint64 `json:"mallocs"`   // objects allocated for this photo; Go only
	Allocated uint64 `json:"allocated"` // bytes of them
	Size      int    `json:"size"`
	Error     string `json:"error,omitempty"`
}

// Write sends a head, which must be one of the types above, and the bytes that belong to it.
func Write(w *bufio.Writer, head any, body []byte) error {
	line, err := json.Marshal(head)
	if err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	_, _ = w.Write(append(line, '\n')) // Flush repeats the error
	_, _ = w.Write(body)
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write a frame: %w", err)
	}
	return nil
}

// ReadHead reads the line; io.EOF means that the other side ended between two frames.
func ReadHead(r *bufio.Reader, head any) error {
	line, err := r.ReadBytes('\n')
	if err == io.EOF && len(line) == 0 {
		return io.EOF
	}
	if err != nil {
		return fmt.Errorf("read a frame: %w", err)
	}
	if err := json.Unmarshal(line, head); err != nil {
		return fmt.Errorf("read a frame: %q: %w", line, err)
	}
	return nil
}

// ReadBody reads the bytes that follow.
func ReadBody(r *bufio.Reader, size int) ([]byte, error) {
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read a frame: %w", err)
	}
	return body, nil
}

// Matrix is the sepia step of the filter, 60 % of the full effect. Everybody else in the benchmark does this one
// multiplication, and not the other three steps of the look unless the report says so.
var Matrix = [3][3]float64{
	{1 - 0.6*0.607, 0.6 * 0.769, 0.6 * 0.189},
	{0.6 * 0.349, 1 - 0.6*0.314, 0.6 * 0.168},
	{0.6 * 0.272, 0.6 * 0.534, 1 - 0.6*0.869},
}
