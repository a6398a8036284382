package server

import (
	"bytes"
	"context"
	"errors"
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
)

// fakes is a catalog, blobs and a queue in memory, with hooks to inject faults. It counts writes.
type fakes struct {
	mu      sync.Mutex
	items   map[string]imagery.Image
	objects map[string][]byte
	sent    [][]byte
	traces  []string
	reads   int // of the catalog
	closed  int // results that were opened and closed
	link    string
	lag     time.Duration // between a catalog read and its answer

	onGet  func(ctx context.Context) error // called before a catalog read, without the lock
	onPut  func(ctx context.Context) error
	onSend func(ctx context.Context) error
}

func newFakes() *fakes {
	return &fakes{items: map[string]imagery.Image{}, objects: map[string][]byte{}}
}

type (
	catalog struct{ *fakes }
	blobs   struct{ *fakes }
	queue   struct{ *fakes }
)

func (w *fakes) service() *imagery.Service {
	return &imagery.Service{Catalog: catalog{w}, Blobs: blobs{w}, Queue: queue{w}, DeadLetters: queue{w}, Now: time.Now,
		ResendAfter: time.Minute, UploadLife: 24 * time.Hour}
}

func try(ctx context.Context, f func(context.Context) error) error {
	if f == nil {
		return nil
	}
	return f(ctx)
}

func (w *fakes) hook(f *func(context.Context) error) func(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return *f
}

func (c catalog) Create(_ context.Context, img imagery.Image, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.items[img.ID]; ok && !old.Expired(now) {
		return imagery.ErrExists
	}
	c.items[img.ID] = img
	return nil
}

func (c catalog) Get(ctx context.Context, id string) (imagery.Image, error) {
	if err := try(ctx, c.hook(&c.onGet)); err != nil {
		return imagery.Image{}, err
	}
	c.mu.Lock()
	c.reads++
	img, ok := c.items[id]
	c.mu.Unlock()
	time.Sleep(c.lag)
	if !ok {
		return imagery.Image{}, imagery.ErrNotFound
	}
	return img, nil
}

func (c catalog) Move(_ context.Context, from, to imagery.Image) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if at := c.items[from.ID]; at.Version != from.Version || at.State != from.State || at.RawKey != from.RawKey {
		return imagery.ErrConflict
	}
	c.items[to.ID] = to
	return nil
}

func (c catalog) Touch(context.Context, imagery.Image, time.Time) error { return nil }
func (c catalog) Pending(
	context.Context, string, time.Time, time.Time, string, int,
) ([]imagery.Pending, string, error) {
	return nil, "", nil
}
func (c catalog) Lease(context.Context, string, string, time.Time, time.Time) (bool, error) {
	return true, nil
}
func (c catalog) Ping(ctx context.Context) error { return try(ctx, c.hook(&c.onGet)) }

func (b blobs) Put(ctx context.Context, key, _ string, body io.ReadSeeker, size int64) error {
	if err := try(ctx, b.hook(&b.onPut)); err != nil {
		return err
	}
	if _, err := body.Seek(0, io.SeekStart); err != nil {
		return err
	}
	all, err := io.ReadAll(body)
	if err != nil {
		return err
	}
	if int64(len(all)) != size {
		return errors.New("size and body disagree")
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.objects[key] = all
	return nil
}

func (b blobs) Get(_ context.Context, key string, limit int64) ([]byte, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	body, ok := b.objects[key]
	if !ok {
		return nil, imagery.ErrNotFound
	}
	if int64(len(body)) > limit {
		return nil, errors.New("over the limit")
	}
	return bytes.Clone(body), nil
}

func (b blobs) Link(ctx context.Context, key, filename string) (imagery.Link, error) {
	if b.link != "" {
		return imagery.Link{URL: b.link + key + "?as=" + filename}, nil
	}
	body, err := b.Get(ctx, key, 1<<30)
	if err != nil {
		return imagery.Link{}, err
	}
	return imagery.Link{Body: &openObject{Reader: bytes.NewReader(body), fakes: b.fakes}}, nil
}

// openObject counts the results that were closed.
type openObject struct {
	*bytes.Reader
	fakes *fakes
}

func (o *openObject) Close() error {
	o.fakes.mu.Lock()
	defer o.fakes.mu.Unlock()
	o.fakes.closed++
	return nil
}
func (b blobs) Ping(ctx context.Context) error { return try(ctx, b.hook(&b.onPut)) }

func (q queue) Send(ctx context.Context, body []byte, trace string) error {
	if err := try(ctx, q.hook(&q.onSend)); err != nil {
		return err
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.sent, q.traces = append(q.sent, body), append(q.traces, trace)
	return nil
}
func (q queue) Receive(context.Context, int, time.Duration) ([]imagery.Message, error) {
	return nil, nil
}
func (q queue) Extend(context.Context, time.Duration, ...imagery.Message) ([]imagery.Message, error) {
	return nil, nil
}
func (q queue) Delete(context.Context, ...imagery.Message) error { return nil }
func (q queue) Limits(ctx context.Context) (imagery.Limits, error) {
	return imagery.Limits{}, try(ctx, q.hook(&q.onSend))
}

// put stores an image, by default a created one with a new id.
func (w *fakes) put(img imagery.Image) imagery.Image {
	if img.ID == "" {
		img.ID = imagery.NewID()
	}
	if img.State == "" {
		img.State = imagery.Created
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.items[img.ID] = img
	return img
}

func (w *fakes) item(id string) imagery.Image {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.items[id]
}

// written returns the number of objects and messages.
func (w *fakes) written() (objects, messages int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return len(w.objects), len(w.sent)
}

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
