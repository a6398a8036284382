// Package frame implements the protocol between the benchmark and a process that filters photos: a line of JSON, then
// bytes, in both directions, one request at a time. sharp.mjs implements it, too.
package frame

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
)

// Hello is the first line that a process sends.
type Hello struct {
	Versions string `json:"versions"` // of the libraries, for the report
}

// Request asks for one photo; Size bytes follow.
type Request struct {
	Operation string `json:"operation"` // one of the operations of the process
	Format    string `json:"format"`    // of the result: jpeg or png
	Size      int    `json:"size"`
}

// Reply has the cost of one photo; Size bytes follow. The cost does not include reading the request and writing the
// reply, which only the benchmark needs.
type Reply struct {
	Nanos     int64  `json:"nanos"`     // from encoded photo in memory to encoded result in memory
	CPUMicros int64  `json:"cpuMicros"` // of all threads since the start of the process
	Mallocs   uint64 `json:"mallocs"`   // objects allocated for this photo; Go only
	Allocated uint64 `json:"allocated"` // bytes of them
	Size      int    `json:"size"`
	Error     string `json:"error,omitempty"`
}

// Write sends a head, one of the types above, and the bytes that follow it.
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

// ReadHead reads the line into head. It returns io.EOF if the input ends between two frames.
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

// ReadBody reads the size bytes that follow a head.
func ReadBody(r *bufio.Reader, size int) ([]byte, error) {
	body := make([]byte, size)
	if _, err := io.ReadFull(r, body); err != nil {
		return nil, fmt.Errorf("read a frame: %w", err)
	}
	return body, nil
}

// Matrix is the sepia step of the filter, 60 % of the full effect. The other programs of the benchmark do this one
// multiplication only, and not the other three steps of the filter unless the report says so.
var Matrix = [3][3]float64{
	{1 - 0.6*0.607, 0.6 * 0.769, 0.6 * 0.189},
	{0.6 * 0.349, 1 - 0.6*0.314, 0.6 * 0.168},
	{0.6 * 0.272, 0.6 * 0.534, 1 - 0.6*0.869},
}
