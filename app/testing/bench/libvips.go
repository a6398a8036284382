//go:build ignore

// Filters the photos that the benchmark sends it, with libvips through govips. The protocol is that of package
// protocol. Arguments: number of threads of libvips, and the matrix as JSON. The benchmark builds it in a module of its
// own, so that cgo and govips do not become dependencies of the product.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/davidbyttow/govips/v2/vips"
)

type reply struct {
	Nanos     int64  `json:"nanos"`
	CPUMicros int64  `json:"cpuMicros"`
	Error     string `json:"error,omitempty"`
}

func main() {
	threads, err := strconv.Atoi(os.Args[1])
	var matrix [][]float64
	if err == nil {
		err = json.Unmarshal([]byte(os.Args[2]), &matrix)
	}
	if err != nil {
		log.Fatal(err)
	}
	vips.LoggingSettings(nil, vips.LogLevelError)
	vips.Startup(&vips.Config{ConcurrencyLevel: threads}) // nothing is cached
	defer vips.Shutdown()
	requests, replies := json.NewDecoder(os.Stdin), json.NewEncoder(os.Stdout)
	err = replies.Encode(map[string]string{"versions": "govips, libvips " + vips.Version})
	for err == nil {
		var ask struct{ In, Out string }
		if err = requests.Decode(&ask); err == nil {
			err = replies.Encode(answer(ask.In, ask.Out, matrix))
		}
	}
	if !errors.Is(err, io.EOF) {
		log.Fatal(err)
	}
}

// answer filters one photo and measures its cost.
func answer(in, out string, matrix [][]float64) (r reply) {
	raw, err := os.ReadFile(in)
	if err != nil {
		return reply{Error: err.Error()}
	}
	began := time.Now()
	body, err := filter(raw, matrix)
	r.Nanos = time.Since(began).Nanoseconds()
	if err == nil {
		err = os.WriteFile(out, body, 0o600)
	}
	var used syscall.Rusage
	if err == nil {
		err = syscall.Getrusage(syscall.RUSAGE_SELF, &used)
	}
	if err != nil {
		return reply{Error: err.Error()}
	}
	r.CPUMicros = (used.Utime.Nano() + used.Stime.Nano()) / 1000
	return r
}

func filter(raw []byte, matrix [][]float64) ([]byte, error) {
	img, err := vips.NewImageFromBuffer(raw)
	if err != nil {
		return nil, fmt.Errorf("decode: %w", err)
	}
	defer img.Close()
	if err := img.AutoRotate(); err != nil {
		return nil, err
	}
	if err := img.Recomb(matrix); err != nil {
		return nil, err
	}
	body, _, err := img.ExportJpeg(&vips.JpegExportParams{
		Quality: 90, OptimizeCoding: true, StripMetadata: true, SubsampleMode: vips.VipsForeignSubsampleOn})
	return body, err
}
