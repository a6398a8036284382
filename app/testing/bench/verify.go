package main

import (
	"bytes"
	"fmt"
	"image"
	"image/jpeg"
	_ "image/png" // of the photos and results, for image.DecodeConfig
	"slices"

	_ "golang.org/x/image/webp"
)

// dimensions returns the size of a photo in pixels.
func dimensions(raw []byte) (width, height int, err error) {
	c, _, err := image.DecodeConfig(bytes.NewReader(raw))
	return c.Width, c.Height, err
}

// verify returns an error unless a result has the size of the photo and the requested format, and as a JPEG the
// quantization tables of quality 90 and 4:2:0 subsampling. A program that does less would be faster.
func verify(p photo, body []byte) error {
	c, format, err := image.DecodeConfig(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the result of %s: %w", p.name, err)
	}
	if format != p.result() || c.Width != p.width || c.Height != p.height {
		return fmt.Errorf("the result of %s is a %s of %d x %d, want %s, %d x %d",
			p.name, format, c.Width, c.Height, p.result(), p.width, p.height)
	}
	img, _, err := image.Decode(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the result of %s: %w", p.name, err)
	}
	if format != "jpeg" {
		return nil
	}
	if m, ok := img.(*image.YCbCr); !ok || m.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		return fmt.Errorf("the result of %s is not subsampled 4:2:0", p.name)
	}
	if got := quantizers(body); !slices.EqualFunc(got, quality90(), bytes.Equal) {
		return fmt.Errorf("the result of %s does not have the quantization tables of quality 90", p.name)
	}
	return nil
}

// quality90 returns the quantization tables of quality 90 in the standard library, which are those of libjpeg.
func quality90() [][]byte {
	var b bytes.Buffer
	// Writing to memory cannot fail.
	_ = jpeg.Encode(&b, image.NewYCbCr(image.Rect(0, 0, 8, 8), image.YCbCrSubsampleRatio420), &jpeg.Options{Quality: 90})
	return quantizers(b.Bytes())
}

// quantizers returns the 8 bit quantization tables of a JPEG, in the order of their numbers.
func quantizers(raw []byte) [][]byte {
	tables := map[byte][]byte{}
	segments(raw, func(marker byte, data []byte) {
		for marker == 0xdb && len(data) >= 65 {
			tables[data[0]] = data[1:65]
			data = data[65:]
		}
	})
	var list [][]byte
	for id := range byte(4) {
		if t := tables[id]; t != nil {
			list = append(list, t)
		}
	}
	return list
}

// frameKind returns the frame marker of a JPEG: 0xc0 for baseline, 0xc2 for progressive, 0 without one.
func frameKind(raw []byte) (kind byte) {
	segments(raw, func(marker byte, _ []byte) {
		if marker >= 0xc0 && marker <= 0xc2 {
			kind = marker
		}
	})
	return kind
}

// segments calls each for the segments of a JPEG up to its first scan.
func segments(raw []byte, each func(marker byte, data []byte)) {
	for at := 2; at+4 <= len(raw) && raw[at] == 0xff && raw[at+1] != 0xda; {
		n := int(raw[at+2])<<8 | int(raw[at+3])
		if n < 2 || at+2+n > len(raw) {
			return
		}
		each(raw[at+1], raw[at+4:at+2+n])
		at += 2 + n
	}
}
