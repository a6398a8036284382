package server

import (
	"bytes"
	"context"
	"image"
	"image/color"
	_ "image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"net/http"
	"sync"
	"time"

	"imagery/app/imagery"
	"imagery/app/testing/memory"
)

// fakes is a service in memory, with hooks to inject faults.
type fakes struct {
	catalog memory.Catalog
	blobs   memory.Blobs
	queue   *memory.Queue

	mu     sync.Mutex
	reads  int // of the catalog
	closed int // results that were opened and closed
	link   string
	lag    time.Duration // between a catalog read and its answer

	onGet  func(ctx context.Context) error // called before a catalog read, without the lock
	onPut  func(ctx context.Context) error
	onSend func(ctx context.Context) error
}

func newFakes() *fakes {
	w := &fakes{}
	w.queue, _ = memory.NewQueue(imagery.Limits{Visibility: time.Minute})
	return w
}

// The ports of fakes call its hooks.
type (
	catalog struct {
		*memory.Catalog
		w *fakes
	}
	blobs struct {
		*memory.Blobs
		w *fakes
	}
	queue struct {
		*memory.Queue
		w *fakes
	}
)

func (w *fakes) service() *imagery.Service {
	q := queue{w.queue, w}
	return &imagery.Service{Catalog: catalog{&w.catalog, w}, Blobs: blobs{&w.blobs, w}, Queue: q, DeadLetters: q,
		Now: time.Now, ResendAfter: time.Minute, UploadLife: 24 * time.Hour}
}

// call calls a hook, if it is set.
func (w *fakes) call(ctx context.Context, hook *func(context.Context) error) error {
	w.mu.Lock()
	f := *hook
	w.mu.Unlock()
	if f == nil {
		return nil
	}
	return f(ctx)
}

func (c catalog) Get(ctx context.Context, id string) (imagery.Image, error) {
	if err := c.w.call(ctx, &c.w.onGet); err != nil {
		return imagery.Image{}, err
	}
	c.w.mu.Lock()
	c.w.reads++
	img, err := c.Catalog.Get(ctx, id)
	c.w.mu.Unlock()
	time.Sleep(c.w.lag)
	return img, err
}

func (c catalog) Ping(ctx context.Context) error { return c.w.call(ctx, &c.w.onGet) }

func (b blobs) Put(ctx context.Context, key, contentType string, body io.ReadSeeker, size int64) error {
	if err := b.w.call(ctx, &b.w.onPut); err != nil {
		return err
	}
	return b.Blobs.Put(ctx, key, contentType, body, size)
}

func (b blobs) Link(ctx context.Context, key, filename string) (imagery.Link, error) {
	if b.w.link != "" {
		return imagery.Link{URL: b.w.link + key + "?as=" + filename}, nil
	}
	link, err := b.Blobs.Link(ctx, key, filename)
	if err == nil {
		link.Body = openObject{link.Body, b.w}
	}
	return link, err
}

func (b blobs) Ping(ctx context.Context) error { return b.w.call(ctx, &b.w.onPut) }

// openObject counts the results that were closed.
type openObject struct {
	io.ReadSeekCloser
	w *fakes
}

func (o openObject) Close() error {
	o.w.mu.Lock()
	defer o.w.mu.Unlock()
	o.w.closed++
	return nil
}

func (q queue) Send(ctx context.Context, body []byte, trace string) error {
	if err := q.w.call(ctx, &q.w.onSend); err != nil {
		return err
	}
	return q.Queue.Send(ctx, body, trace)
}

func (q queue) Limits(ctx context.Context) (imagery.Limits, error) {
	return imagery.Limits{}, q.w.call(ctx, &q.w.onSend)
}

// put stores an image, by default a created one with a new id.
func (w *fakes) put(img imagery.Image) imagery.Image {
	if img.ID == "" {
		img.ID = imagery.NewID()
	}
	if img.State == "" {
		img.State = imagery.Created
	}
	w.catalog.Put(img)
	return img
}

func (w *fakes) item(id string) imagery.Image {
	img, _ := w.catalog.Get(context.Background(), id)
	return img
}

// putObject stores a result.
func (w *fakes) putObject(key string, body []byte) {
	if err := w.blobs.Put(context.Background(), key, "", bytes.NewReader(body), int64(len(body))); err != nil {
		panic(err)
	}
}

// written returns the number of objects and messages.
func (w *fakes) written() (objects, messages int) { return len(w.blobs.Keys()), w.queue.Len() }

// maxPixels is the limit of inspect.
const maxPixels = 1000 * 1000

// sniff detects the formats that the standard library can decode.
func sniff(head []byte) (string, error) {
	switch t := http.DetectContentType(head); t {
	case "image/jpeg", "image/png", "image/gif":
		return t, nil
	}
	return "", &imagery.BadPhoto{Kind: imagery.Unsupported, Reason: "This is not a photo."}
}

// inspect reads headers with the standard library.
func inspect(r io.Reader) error {
	config, _, err := image.DecodeConfig(r)
	if err != nil {
		return &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "This photo cannot be read.", Err: err}
	}
	if config.Width*config.Height > maxPixels {
		return &imagery.BadPhoto{Kind: imagery.Unreadable, Reason: "This photo has too many pixels."}
	}
	return nil
}

// jpegPhoto returns a small photo; different seeds give different photos.
func jpegPhoto(seed int) []byte {
	m := image.NewRGBA(image.Rect(0, 0, 16, 16))
	for i := range 256 {
		m.Set(i%16, i/16, color.RGBA{uint8(i * seed), uint8(seed), uint8(i), 255})
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// sized pads a photo to n bytes; decoders ignore bytes after the end of an image.
func sized(photo []byte, n int) []byte { return append(photo, make([]byte, n-len(photo))...) }

func pngPhoto() []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8))); err != nil {
		panic(err)
	}
	return b.Bytes()
}
