package model

import (
	"context"
	"io"
	"strings"

	"imagery/app/imagery"
)

// blobs implements imagery.Blobs.
type blobs struct{ *world }

func (w blobs) Put(_ context.Context, key, _ string, body io.ReadSeeker, size int64) error {
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	data, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	op := w.running.op
	return w.do(call{service: bucket, what: "put", subject: key, outcomes: writeOutcomes, effect: func() error {
		w.checkPut(key, string(data), size)
		w.objects[key] = string(data)
		delete(w.removed, key)
		op.puts++
		return nil
	}})
}

// originalOutcomes are those of reading an original. With a wrong bucket policy an existing object may seem missing or
// be denied.
var originalOutcomes = []outcome{refused, wrongError}

func (w blobs) Get(_ context.Context, key string, _ int64) (data []byte, err error) {
	op := w.running.op
	op.soughtAt = w.seq
	err = w.do(call{service: bucket, what: "get", subject: key, outcomes: originalOutcomes,
		wrongErrors: []error{imagery.ErrDenied, imagery.ErrNotFound},
		effect: func() error {
			body, ok := w.objects[key]
			if !ok {
				op.missing = true
				return imagery.ErrNotFound
			}
			data = []byte(body)
			return nil
		}})
	return data, err
}

// Find implements imagery.Finder. Operators may list the bucket, so the answer is always true.
func (w blobs) Find(_ context.Context, key string) error {
	op := w.running.op
	return w.do(call{service: bucket, what: "find", subject: key, outcomes: readOutcomes, effect: func() error {
		if _, ok := w.objects[key]; !ok {
			op.missing = true
			return imagery.ErrNotFound
		}
		return nil
	}})
}

func (w blobs) Link(context.Context, string, string) (imagery.Link, error) {
	return imagery.Link{}, nil
}

func (w blobs) Ping(context.Context) error { return nil }

// filter implements imagery.Filter.
type filter struct{ *world }

func (w filter) Inspect(raw []byte) (imagery.Cost, error) {
	op := w.running.op
	if op.worked = string(raw); strings.HasSuffix(op.worked, "headless") {
		return imagery.Cost{}, op.refuse("Its header cannot be read.")
	}
	return imagery.Cost{Memory: int64(len(raw))}, nil
}

func (w filter) Apply(_ context.Context, raw []byte) (imagery.Result, error) {
	op := w.running.op
	// The job may reach its deadline, or its process may be told to stop.
	err := w.do(call{service: nothing, what: "filter", outcomes: []outcome{wrongError},
		wrongErrors: []error{context.DeadlineExceeded, context.Canceled}})
	if err != nil {
		return imagery.Result{}, err
	}
	if strings.HasSuffix(string(raw), "broken") {
		return imagery.Result{}, op.refuse("It cannot be decoded.")
	}
	return imagery.Result{Body: strings.NewReader(sepia(string(raw))), Ext: "jpg", ContentType: "image/jpeg",
		Warning: warning(string(raw))}, nil
}

// refuse records that the photo of this job is invalid.
func (op *operation) refuse(reason string) error {
	op.refused = reason
	return &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: reason}
}

var (
	_ imagery.Blobs  = blobs{}
	_ imagery.Filter = filter{}
	_ imagery.Finder = blobs{}
)
