// Package codec decodes the coded pictures of HEIC and AVIF photos: libheif with libde265, and libavif with libaom, as
// WebAssembly in this process. A damaged or hostile picture can neither read nor write memory outside of its instance,
// which has a limit and ends with its picture.
//
// The modules are those of github.com/gen2brain/heic and avif, see README.md. Those packages are not imported, because
// they load libheif.so and libavif.so when the computer has them: native code, without a limit of its memory, in
// whatever version is there.
//
// With the build tag noheif no decoder is included, and Available is false.
package codec

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"sync"

	"github.com/tetratelabs/wazero"
	"github.com/tetratelabs/wazero/api"
	"github.com/tetratelabs/wazero/experimental"
	"github.com/tetratelabs/wazero/imports/wasi_snapshot_preview1"

	"imagery/app/sepia/heif"
)

// ErrMemory is returned for a picture that needs more memory than the limit.
var ErrMemory = errors.New("the decoder needs more memory than it has")

// errDamaged is returned for a picture that the decoder rejects.
var errDamaged = errors.New("the decoder rejects the picture")

// Available reports whether this binary has the decoders.
const Available = included

// maxMemory limits the memory of an instance in bytes, whatever its caller allows.
const maxMemory = 2 << 30

// pageSize is that of WebAssembly.
const pageSize = 64 << 10

// Decode decodes a file with one picture, as heif.Item.File writes it, in at most that many bytes of memory beside the
// result. A HEIC becomes a *image.Gray, or a *image.RGBA whose red, green and blue are the samples Cr, Y and Cb of the
// file, with a chroma sample for each pixel; their range and matrix are up to the caller. More than 8 bits become 8.
// An AVIF becomes an opaque *image.RGBA in RGB, or *image.RGBA64 if it has more than 8 bits.
//
// The error is ErrMemory, that of ctx once it has ended, or another one for a picture that cannot be decoded.
func Decode(ctx context.Context, format heif.Format, file []byte, memory int64) (image.Image, error) {
	d, ok := decoders[format]
	if !ok {
		return nil, fmt.Errorf("this binary has no decoder of %s", format)
	}
	m, err := d.compile(ctx)
	if err != nil {
		return nil, err
	}
	limit, err := newLimiter(memory, m.code)
	if err != nil {
		return nil, err
	}
	defer release(limit.memory)
	ctx = experimental.WithMemoryAllocator(ctx, limit)
	instance, err := m.runtime.InstantiateModule(ctx, m.code, wazero.NewModuleConfig().WithName(""))
	if err == nil {
		var img image.Image
		img, err = d.decode(call{ctx, instance}, file)
		_ = instance.Close(context.WithoutCancel(ctx)) // the memory is freed in any case
		if err == nil {
			return img, nil
		}
	}
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case limit.exceeded:
		return nil, fmt.Errorf("%w: more than %d MiB", ErrMemory, len(limit.memory)>>20)
	}
	return nil, fmt.Errorf("decode a picture of %s: %w", format, err)
}

// decoder is a WebAssembly module, which is compiled for the first picture and kept.
type decoder struct {
	wasm   []byte // compressed
	decode func(call, []byte) (image.Image, error)

	mu     sync.Mutex
	module *module
}

type module struct {
	runtime wazero.Runtime
	code    wazero.CompiledModule
}

// compile returns the module. It compiles it, which takes about a second, if no earlier call has.
func (d *decoder) compile(ctx context.Context) (*module, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.module != nil {
		return d.module, nil
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	wasm, err := d.unpack()
	if err != nil {
		return nil, fmt.Errorf("unpack the decoder: %w", err)
	}
	m, err := compile(wazero.NewRuntimeConfig(), wasm)
	if err != nil {
		// The compiler needs memory that is first written and then executed, which a service manager may forbid
		// (MemoryDenyWriteExecute). The interpreter does not, but is slower by far.
		m, err = compile(wazero.NewRuntimeConfigInterpreter(), wasm)
	}
	d.module = m
	return m, err
}

func (d *decoder) unpack() ([]byte, error) {
	z, err := gzip.NewReader(bytes.NewReader(d.wasm))
	if err != nil {
		return nil, err
	}
	return io.ReadAll(z)
}

// compile compiles a module. Its context is not that of a photo, since others use the result.
func compile(c wazero.RuntimeConfig, wasm []byte) (m *module, err error) {
	ctx := context.Background()
	// To be ended by its context a module counts in each loop, which makes it two to three times as slow. Without it a
	// decoder that hangs would keep its core for ever.
	r := wazero.NewRuntimeWithConfig(ctx, c.WithCloseOnContextDone(true).WithMemoryLimitPages(maxMemory/pageSize))
	defer func() {
		if v := recover(); v != nil {
			err = fmt.Errorf("panicked: %v", v)
		}
		if err != nil {
			m, err = nil, errors.Join(fmt.Errorf("compile the decoder: %w", err), r.Close(ctx))
		}
	}()
	code, err := r.CompileModule(ctx, wasm)
	if err != nil {
		return nil, err
	}
	if _, err := wasi_snapshot_preview1.Instantiate(ctx, r); err != nil {
		return nil, err
	}
	return &module{r, code}, nil
}

// call calls functions of an instance.
type call struct {
	ctx      context.Context
	instance api.Module
}

// alloc returns the address of n new bytes.
func (c call) alloc(n int) (uint32, error) {
	at, err := c.do("malloc", uint64(n))
	if err == nil && at == 0 {
		err = errors.New("malloc failed")
	}
	return at, err
}

func (c call) do(function string, args ...uint64) (uint32, error) {
	results, err := c.instance.ExportedFunction(function).Call(c.ctx, args...)
	if err != nil {
		return 0, fmt.Errorf("call %s: %w", function, err)
	}
	return uint32(results[0]), nil
}

// put copies b into the memory of the instance and returns its address.
func (c call) put(b []byte) (uint32, error) {
	at, err := c.alloc(len(b))
	if err == nil && !c.instance.Memory().Write(at, b) {
		err = errors.New("malloc returned an address outside of the memory")
	}
	return at, err
}

// get returns a copy of n bytes.
func (c call) get(at uint32, n int) ([]byte, error) {
	b, ok := c.instance.Memory().Read(at, uint32(n))
	if !ok {
		return nil, errors.New("the result is outside of the memory")
	}
	return bytes.Clone(b), nil
}

// numbers returns n numbers of 4 bytes.
func (c call) numbers(at uint32, n int) ([]int, error) {
	list := make([]int, n)
	for i := range list {
		v, ok := c.instance.Memory().ReadUint32Le(at + 4*uint32(i))
		if !ok || v > 1<<30 {
			return nil, errors.New("the decoder returned a number without meaning")
		}
		list[i] = int(v)
	}
	return list, nil
}
