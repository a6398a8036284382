// Command ours filters the photos that the benchmark sends it. The operation "ours" is the filter of this repository,
// "plain" is a short Go program with the imaging library.
package main

import (
	"bufio"
	"bytes"
	"context"
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
	"imagery/app/testing/bench/frame"
)

func main() {
	// A worker also sets the memory limit of the garbage collector.
	if memory := budget.Measured(); memory > 0 {
		debug.SetMemoryLimit(memory)
	}
	if err := serve(bufio.NewReader(os.Stdin), bufio.NewWriter(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "ours:", err)
		os.Exit(1)
	}
}

// operations are the operations of a request.
var operations = map[string]func(raw []byte, format string) ([]byte, error){"ours": ours, "plain": plain}

func serve(r *bufio.Reader, w *bufio.Writer) error {
	if err := frame.Write(w, frame.Hello{Versions: runtime.Version()}, nil); err != nil {
		return err
	}
	for {
		var ask frame.Request
		if err := frame.ReadHead(r, &ask); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		raw, err := frame.ReadBody(r, ask.Size)
		if err != nil {
			return err
		}
		reply, body := answer(ask, raw)
		if err := frame.Write(w, reply, body); err != nil {
			return err
		}
	}
}

// answer filters one photo and measures its cost.
func answer(ask frame.Request, raw []byte) (reply frame.Reply, body []byte) {
	operation := operations[ask.Operation]
	if operation == nil {
		return frame.Reply{Error: "unknown operation " + ask.Operation}, nil
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began := time.Now()
	body, err := operation(raw, ask.Format)
	reply.Nanos = time.Since(began).Nanoseconds()
	runtime.ReadMemStats(&after)
	reply.Mallocs, reply.Allocated = after.Mallocs-before.Mallocs, after.TotalAlloc-before.TotalAlloc
	var used syscall.Rusage
	if usageErr := syscall.Getrusage(syscall.RUSAGE_SELF, &used); err == nil {
		err = usageErr
	}
	reply.CPUMicros = (used.Utime.Nano() + used.Stime.Nano()) / 1000
	if err != nil {
		reply.Error = err.Error()
	}
	reply.Size = len(body)
	return reply, body
}

// ours makes the calls that a worker makes between the download and the upload.
func ours(raw []byte, format string) ([]byte, error) {
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
func plain(raw []byte, format string) ([]byte, error) {
	img, err := imaging.Decode(bytes.NewReader(raw), imaging.AutoOrientation(true))
	if err != nil {
		return nil, err
	}
	toned := imaging.AdjustFunc(img, func(c color.NRGBA) color.NRGBA {
		r, g, b := float64(c.R), float64(c.G), float64(c.B)
		channel := func(m [3]float64) uint8 { return uint8(math.Min(255, m[0]*r+m[1]*g+m[2]*b)) }
		return color.NRGBA{channel(frame.Matrix[0]), channel(frame.Matrix[1]), channel(frame.Matrix[2]), c.A}
	})
	var out bytes.Buffer
	if format == "png" {
		err = imaging.Encode(&out, toned, imaging.PNG)
	} else {
		err = imaging.Encode(&out, toned, imaging.JPEG, imaging.JPEGQuality(90))
	}
	return out.Bytes(), err
}
