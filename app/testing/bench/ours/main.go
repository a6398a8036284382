// Command ours filters the photos that the benchmark sends it. The operation "ours" is the filter of this repository,
// "plain" is a short Go program with the imaging library.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"io"
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"

	"github.com/disintegration/imaging"

	"imagery/app/budget"
	"imagery/app/sepia"
	"imagery/app/testing/bench/protocol"
)

func main() {
	// A worker also sets the memory limit of the garbage collector.
	if memory := budget.Measured(); memory > 0 {
		debug.SetMemoryLimit(memory)
	}
	if err := serve(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "ours:", err)
		os.Exit(1)
	}
}

// operations are the operations of a request.
var operations = map[string]func(raw []byte, format string) (io.Reader, error){"ours": ours, "plain": plain}

func serve(r io.Reader, w io.Writer) error {
	requests, replies := json.NewDecoder(r), json.NewEncoder(w)
	err := replies.Encode(protocol.Hello{Versions: runtime.Version()})
	for err == nil {
		var ask protocol.Request
		if err = requests.Decode(&ask); err == nil {
			err = replies.Encode(answer(ask))
		}
	}
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// answer filters one photo and measures its cost.
func answer(ask protocol.Request) (reply protocol.Reply) {
	operation := operations[ask.Operation]
	raw, err := os.ReadFile(ask.In)
	if operation == nil {
		err = errors.New("unknown operation " + ask.Operation)
	}
	if err != nil {
		return protocol.Reply{Error: err.Error()}
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	body, err := operation(raw, ask.Format)
	reply.Nanos = time.Since(began).Nanoseconds()
	runtime.ReadMemStats(&after)
	reply.Mallocs, reply.Allocated = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	if err == nil {
		err = writeFile(ask.Out, body)
	}
	var used syscall.Rusage
	if err == nil {
		err = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	}
	reply.CPUMicros = (used.Utime.Nano() + used.Stime.Nano()) / 1000
	if err != nil {
		reply.Error = err.Error()
	}
	return reply
}

func writeFile(path string, body io.Reader) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, body)
	return errors.Join(err, f.Close())
}

// ours makes the calls that a worker makes between the download and the upload, which reads the result in its parts.
func ours(raw []byte, format string) (io.Reader, error) {
	filter := sepia.Filter{}
	if _, err := filter.Inspect(raw); err != nil {
		return nil, err
	}
	res, err := filter.Apply(context.Background(), raw)
	if err == nil && res.ContentType != "image/"+format {
		err = fmt.Errorf("the result is %s, want %s", res.ContentType, format)
	}
	return res.Body, err
}

// plain decodes, calls a function for each pixel, and encodes.
func plain(raw []byte, format string) (io.Reader, error) {
	img, err := imaging.Decode(bytes.NewReader(raw), imaging.AutoOrientation(true))
	if err != nil {
		return nil, err
	}
	toned := imaging.AdjustFunc(img, func(c color.NRGBA) color.NRGBA {
		r, g, b := float64(c.R), float64(c.G), float64(c.B)
		channel := func(m [3]float64) uint8 { return uint8(math.Min(255, m[0]*r+m[1]*g+m[2]*b)) }
		return color.NRGBA{channel(protocol.Matrix[0]), channel(protocol.Matrix[1]), channel(protocol.Matrix[2]), c.A}
	})
	var out bytes.Buffer
	if format == "png" {
		err = imaging.Encode(&out, toned, imaging.PNG)
	} else {
		err = imaging.Encode(&out, toned, imaging.JPEG, imaging.JPEGQuality(90))
	}
	return &out, err
}
