package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png" // also a format of results
	"os"
	"path/filepath"
	"sync"

	"imagery/app/client"
	"imagery/app/imagery"
)

// quarters are the colours of the four quarters of every picture of this program after the filter, calculated from its
// definition, and tolerance is the largest difference of a channel: JPEG is lossy, and encoded twice.
var quarters = [4]color.NRGBA{{194, 123, 120, 255}, {172, 223, 164, 255}, {135, 139, 180, 255}, {207, 201, 188, 255}}

const tolerance = 8

// picture is a photo whose result is known: one colour in each quarter.
type picture struct {
	name string
	data []byte
	size image.Point
}

// pictures has one of each format, as the self-test of an instance uses them, and a larger one.
type pictures struct {
	formats []picture
	steady  picture // of the steady client
	large   picture
	heavy   picture // much work for a worker, and few bytes to send
}

// source is the folder of the pictures, which is a part of the checkout.
const source = "app/admin/selftest/pictures"

func readPictures(checkout string) (p pictures, err error) {
	files, err := filepath.Glob(filepath.Join(checkout, source, "*.*"))
	if err != nil {
		return p, err
	}
	var original image.Image
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return p, err
		}
		if filepath.Ext(f) == ".png" {
			if original, _, err = image.Decode(bytes.NewReader(data)); err != nil {
				return p, fmt.Errorf("decode %s: %w", f, err)
			}
		}
		p.formats = append(p.formats, picture{filepath.Base(f), data, image.Pt(32, 32)})
	}
	if original == nil {
		return p, fmt.Errorf("%s has no PNG", source)
	}
	p.steady, p.large = enlarged(original, "steady.jpg", 160, 120), enlarged(original, "large.jpg", 3000, 2000)
	p.heavy = flat(original, "heavy.png", 4000, 3000)
	return p, nil
}

// flat returns a PNG with the colours of a picture's quarters. Its bytes are few, its pixels are not.
func flat(of image.Image, name string, w, h int) picture {
	var colours color.Palette
	for i := range quarters {
		colours = append(colours, of.At(8+16*(i%2), 8+16*(i/2)))
	}
	m := image.NewPaletted(image.Rect(0, 0, w, h), colours)
	for y := range h {
		for x := range w {
			m.Pix[y*m.Stride+x] = uint8(2*(2*y/h) + 2*x/w)
		}
	}
	var b bytes.Buffer
	_ = png.Encode(&b, m) // writing to a buffer does not fail
	return picture{name, b.Bytes(), image.Pt(w, h)}
}

// enlarged returns a JPEG with the colours of a picture's quarters.
func enlarged(of image.Image, name string, w, h int) picture {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range quarters {
		c, x, y := of.At(8+16*(i%2), 8+16*(i/2)), i%2, i/2
		draw.Draw(m, image.Rect(x*w/2, y*h/2, (x+1)*w/2, (y+1)*h/2), image.NewUniform(c), image.Point{}, draw.Src)
	}
	var b bytes.Buffer
	_ = jpeg.Encode(&b, m, &jpeg.Options{Quality: 95}) // writing to a buffer does not fail
	return picture{name, b.Bytes(), image.Pt(w, h)}
}

// check compares a result with what it must be.
func (p picture) check(result []byte) error {
	m, _, err := image.Decode(bytes.NewReader(result))
	if err != nil {
		return fmt.Errorf("decode the result of %s: %w", p.name, err)
	}
	if m.Bounds().Size() != p.size {
		return fmt.Errorf("the result of %s is %v, want %v", p.name, m.Bounds().Size(), p.size)
	}
	for i, want := range quarters {
		at := image.Pt(p.size.X/4*(1+2*(i%2)), p.size.Y/4*(1+2*(i/2)))
		got := color.NRGBAModel.Convert(m.At(at.X, at.Y)).(color.NRGBA)
		if apart(got.R, want.R) || apart(got.G, want.G) || apart(got.B, want.B) || got.A != 255 {
			return fmt.Errorf("the result of %s is %v at %v, want %v", p.name, got, at, want)
		}
	}
	return nil
}

func apart(a, b uint8) bool { return int(a)-int(b) > tolerance || int(b)-int(a) > tolerance }

// newID returns an id by which the photos of this program are known in logs and tables.
func newID() string {
	const prefix = "acce97ed"
	return prefix + imagery.NewID()[len(prefix):]
}

// own returns the hashes of all photos that a run uploads, the rollouts' smoke tests included. Objects have the hash of
// the photo in their key.
func (p pictures) own(checkout string) (map[string]bool, error) {
	hashes := map[string]bool{}
	add := func(data []byte) { sum := sha256.Sum256(data); hashes[hex.EncodeToString(sum[:])] = true }
	for _, of := range append(p.formats, p.steady, p.large, p.heavy) {
		add(of.data)
	}
	files, err := filepath.Glob(filepath.Join(checkout, "app/admin/smoke/pictures/*"))
	if err != nil {
		return nil, err
	}
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			return nil, err
		}
		add(data)
	}
	return hashes, nil
}

// wrongError is a photo that was processed to something else than it must be.
type wrongError struct {
	id  string
	err error
}

func (e *wrongError) Error() string { return fmt.Sprintf("photo %s: %v", e.id, e.err) }

// checkers is the number of photos that are checked at a time.
const checkers = 8

// checkAll waits for photos and checks their results. Its errors are the photos that are lost or wrong.
func checkAll(ctx context.Context, c *client.Client, photos map[string]picture) []error {
	work := make(chan string)
	var mu sync.Mutex
	var errs []error
	var all sync.WaitGroup
	for range checkers {
		all.Go(func() {
			for id := range work {
				if err := checkOne(ctx, c, id, photos[id]); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
				}
			}
		})
	}
	for id := range photos {
		work <- id
	}
	close(work)
	all.Wait()
	return errs
}

func checkOne(ctx context.Context, c *client.Client, id string, p picture) error {
	img, err := c.Get(ctx, id)
	if err == nil {
		img, err = c.Wait(ctx, img)
	}
	if err == nil && img.State != "processed" {
		err = errors.New(img.State + optional(": ", img.Error))
	}
	if err != nil {
		return fmt.Errorf("photo %s: %w", id, err)
	}
	result, err := c.Result(ctx, img)
	if err != nil {
		return fmt.Errorf("photo %s: %w", id, err)
	}
	if err := p.check(result.Body); err != nil {
		return &wrongError{id, err}
	}
	return nil
}
