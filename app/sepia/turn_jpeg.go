package sepia

import (
	"context"
	"image"

	"imagery/app/sepia/jfif"
)

// partSize is about the maximum memory, in bytes, for the planes of a sequential JPEG that is to be turned. 19
// megapixels with 4:2:0 sampling fit.
var partSize = 28 << 20 // replaced by tests

// planesPart is a part of a JPEG's planes, with whole rows of the upright photo.
type planesPart struct {
	image.YCbCr // Rect is where the part is in the photo
	decoder     *jfif.Decoder
	raw         []byte
	orientation int
	rows        int         // of the upright photo
	strip       image.YCbCr // of the decoder
}

// turnedStrips returns a photo that is not upright. If its planes are too large, it decodes the file again for each
// part of them.
func turnedStrips(ctx context.Context, d *jfif.Decoder, raw []byte, orientation int) stripSource {
	ratio, width, height := narrow[d.Ratio], wholeMCUs(d.Width), wholeMCUs(d.Height)
	p := planesPart{decoder: d, raw: raw, orientation: orientation,
		strip: *image.NewYCbCr(image.Rect(0, 0, width, 16), ratio)}
	upWidth, upHeight := d.Width, d.Height
	if orientation >= 5 {
		upWidth, upHeight = upHeight, upWidth
	}
	p.rows = partRows(upWidth, upHeight, planeBytes(ratio, d.Model == jfif.Grey))
	// The part may begin and end within an MCU.
	if most := wholeMCUs(p.rows) + 16; orientation >= 5 {
		width = min(width, most)
	} else {
		height = min(height, most)
	}
	p.YCbCr = image.YCbCr{YStride: width, SubsampleRatio: ratio}
	if d.Model == jfif.Grey {
		p.Y = make([]uint8, width*height)
	} else {
		p.YCbCr = *image.NewYCbCr(image.Rect(0, 0, width, height), ratio)
	}
	source := upright(&p.YCbCr, image.Pt(d.Width, d.Height), orientation)
	read := source.read
	source.read = func(strip *image.YCbCr, y int) error {
		if y%p.rows == 0 {
			if err := p.load(ctx, y, min(y+p.rows, upHeight)); err != nil {
				return err
			}
		}
		return read(strip, y)
	}
	return source
}

// partRows returns the rows of each part of an upright photo, whole strips, and fourBytes for four of its pixels.
func partRows(width, height, fourBytes int) int {
	strip := jfif.StripHeight(width)
	return min(max(1, partSize/(strip*width*fourBytes/4)), (height+strip-1)/strip) * strip
}

// planeBytes returns the bytes of four pixels in all planes.
func planeBytes(ratio image.YCbCrSubsampleRatio, grey bool) int {
	if grey {
		return 4
	}
	h, v := sampling(ratio)
	return 4 + 8/(h*v)
}

// load decodes the part with these rows of the upright photo. It decodes the whole file once, to know that it is valid.
func (p *planesPart) load(ctx context.Context, y0, y1 int) error {
	d := p.decoder
	if y0 > 0 {
		found := d.Damage
		if err := d.Open(p.raw); err != nil {
			return err
		}
		d.Damage = max(d.Damage, found)
	}
	part := stored(image.Rect(0, 0, d.Width, d.Height), p.orientation, y0, y1)
	part = image.Rect(part.Min.X&^15, part.Min.Y&^15, wholeMCUs(part.Max.X), wholeMCUs(part.Max.Y))
	p.Rect = part
	for y := 0; y < d.Height && (y0 == 0 || y < part.Max.Y); y += 16 {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := readPlanes(ctx, d, &p.strip, min(16, d.Height-y)); err != nil {
			return err
		}
		if y >= part.Min.Y && y < part.Max.Y {
			p.keep(y - part.Min.Y)
		}
	}
	return nil
}

// keep copies what the part has of the strip to row y of the part.
func (p *planesPart) keep(y int) {
	h, v := sampling(p.SubsampleRatio)
	x, width := p.Rect.Min.X, p.Rect.Dx()
	for i := range 16 {
		copy(p.Y[(y+i)*p.YStride:][:width], p.strip.Y[i*p.strip.YStride+x:])
	}
	if len(p.Cb) == 0 {
		return
	}
	for i := range 16 / v {
		to, from := (y/v+i)*p.CStride, i*p.strip.CStride+x/h
		copy(p.Cb[to:][:width/h], p.strip.Cb[from:])
		copy(p.Cr[to:][:width/h], p.strip.Cr[from:])
	}
}
