package main

import (
	"context"
	"log"
)

// memory has the peak memory of new processes that filtered one photo a few times, in bytes.
type memory struct {
	photo       photo
	result      int // bytes
	ours, sharp footprint
}

// footprint is resident memory in bytes.
type footprint struct {
	idle int64 // before the first photo
	peak int64
}

// files returns the size of the file and the result, which the caller of the filter holds.
func (m memory) files() int64 { return int64(len(m.photo.raw) + m.result) }

// filter returns the memory that the filter itself needed.
func (m memory) filter() int64 { return m.ours.peak - m.ours.idle - m.files() }

// measureMemory starts two new processes for each photo, so that no photo changes the memory of another.
func (f *pipelineResults) measureMemory(ctx context.Context, t tools, cores []int, photos []photo) {
	for _, p := range photos {
		m := memory{photo: p}
		var err error
		if m.ours, m.result, err = footprintOf(ctx, t.startOurs("ours"), cores, p); err != nil {
			f.fail("memory of ours, "+p.name, err)
			continue
		}
		if m.sharp, _, err = footprintOf(ctx, t.startSharp("matrix"), cores, p); err != nil {
			f.fail("memory of sharp, "+p.name, err)
			continue
		}
		log.Printf("%s: %s, sharp %s", p.name, mib(m.ours.peak), mib(m.sharp.peak))
		f.memory = append(f.memory, m)
	}
}

// footprintOf returns the memory of a new process that filters a photo three times, and the size of the result.
func footprintOf(ctx context.Context, start starter, cores []int, p photo) (f footprint, result int, err error) {
	e, err := start(ctx, cores)
	if err != nil {
		return f, 0, err
	}
	defer e.close()
	if f.idle, err = peak(e.cmd.Process.Pid); err != nil {
		return f, 0, err
	}
	for range 3 { // garbage of the first run may raise the peak of the next
		_, body, err := e.filter(p)
		if err != nil {
			return f, 0, err
		}
		result = len(body)
	}
	f.peak, err = peak(e.cmd.Process.Pid)
	return f, result, err
}
