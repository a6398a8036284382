package main

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"image/jpeg"
	"io"
)

// memory has the peak memory of new processes that filtered one photo a few times.
type memory struct {
	Photo       string
	Kind        string
	Planes      int64 // bytes of the decoded photo with 4:2:0 subsampling
	FileBytes   int
	ResultBytes int
	Ours, Sharp footprint
}

// footprint is resident memory in bytes.
type footprint struct {
	Idle int64 // before the first photo
	Peak int64
}

// grown returns the memory that the photo needed beside the file and the result, in decoded planes.
func (m memory) grown() float64 {
	return float64(m.Ours.Peak-m.Ours.Idle-int64(m.FileBytes)-int64(m.ResultBytes)) / float64(m.Planes)
}

// timesForMemory sets how often the photo is filtered, because garbage of the first run may raise the peak of the next.
const timesForMemory = 3

// measureMemory starts two new processes for each photo, so that no photo changes the memory of another.
func measureMemory(ctx context.Context, t tools, cores []int, photos []photo, progress io.Writer) (
	list []memory, err error) {
	for _, p := range photos {
		m := memory{Photo: p.name, Kind: p.kind, Planes: p.pixels() * 3 / 2, FileBytes: len(p.raw)}
		if m.Ours, m.ResultBytes, err = footprintOf(ctx, t.startOurs, cores, p); err != nil {
			return nil, fmt.Errorf("our memory: %w", err)
		}
		if m.Sharp, _, err = footprintOf(ctx, t.startSharp("matrix"), cores, p); err != nil {
			return nil, fmt.Errorf("memory of sharp: %w", err)
		}
		fmt.Fprintf(progress, "%s: %d MiB, sharp %d MiB\n", p.name, m.Ours.Peak>>20, m.Sharp.Peak>>20)
		list = append(list, m)
	}
	return list, nil
}

func footprintOf(ctx context.Context, start starter, cores []int, p photo) (f footprint, result int, err error) {
	e, err := start(ctx, cores)
	if err != nil {
		return f, 0, err
	}
	defer e.close()
	if f.Idle, err = peak(e.pid()); err != nil {
		return f, 0, err
	}
	for range timesForMemory {
		_, body, err := e.filter(p)
		if err != nil {
			return f, 0, err
		}
		result = len(body)
	}
	f.Peak, err = peak(e.pid())
	return f, result, err
}

// onePixel returns a photo of one pixel.
func onePixel() (photo, error) {
	var b bytes.Buffer
	err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 1, 1)), nil)
	return photo{name: "one pixel", kind: baseline, width: 1, height: 1, raw: b.Bytes()}, err
}
