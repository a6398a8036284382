package main

import (
	"bytes"
	"fmt"
	"image"
)

// verify returns an error unless a result has the size of the photo and the requested format, and as a JPEG the
// quantization tables of quality 90 and 4:2:0 subsampling. A program that does less would be faster.
func verify(p photo, body []byte) error {
	img, format, err := image.Decode(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("the result of %s: %w", p.name, err)
	}
	if size := img.Bounds().Size(); format != p.kind.result || size != image.Pt(p.width, p.height) {
		return fmt.Errorf("the result of %s is a %s of %s, want %s, (%d,%d)",
			p.name, format, size, p.kind.result, p.width, p.height)
	}
	if format != "jpeg" {
		return nil
	}
	if m, ok := img.(*image.YCbCr); !ok || m.SubsampleRatio != image.YCbCrSubsampleRatio420 {
		return fmt.Errorf("the result of %s is not subsampled 4:2:0", p.name)
	}
	// The tables of the standard library are those of libjpeg.
	if want, err := encodeJPEG(img); err != nil || !bytes.Equal(quantizers(body), quantizers(want)) {
		return fmt.Errorf("the result of %s does not have the quantization tables of quality 90", p.name)
	}
	return nil
}

// quantizers returns the segments of a JPEG that define its quantization tables, without the headers.
func quantizers(raw []byte) (tables []byte) {
	for at := 2; at+4 <= len(raw) && raw[at] == 0xff && raw[at+1] != 0xda; { // up to the first scan
		next := at + 2 + int(raw[at+2])<<8 + int(raw[at+3])
		if raw[at+1] == 0xdb && next <= len(raw) {
			tables = append(tables, raw[at+4:next]...)
		}
		at = next
	}
	return tables
}
