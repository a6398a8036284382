package main

import (
	"image"
	"runtime"
	"sync"
)

// landscape draws a picture with the statistics of a photo: detail at every scale (each octave has 60 % of the contrast
// of the previous one), soft colours, a few hard edges, and sensor noise. It is the same on every machine, except for
// the last bit of a pixel.
func landscape(width, height int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	rows := make(chan int)
	var painters sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		painters.Go(func() {
			for y := range rows {
				paintRow(img, y)
			}
		})
	}
	for y := range height {
		rows <- y
	}
	close(rows)
	painters.Wait()
	return img
}

func paintRow(img *image.RGBA, y int) {
	row := img.Pix[y*img.Stride:][:4*img.Rect.Dx()]
	for x := range img.Rect.Dx() {
		light := 120 + 150*octaves(x, y, 1, 9)
		for layer := range 3 { // objects in the foreground
			if smooth(x, y, 300<<layer, uint32(20+layer)) > 0.25 {
				light += 35 - 30*float64(layer)
			}
		}
		light += 14 * (hash(x, y, 50) - 0.5) // sensor noise
		warm, green := 60*octaves(x, y, 2, 3), 40*octaves(x, y, 3, 3)
		p := row[4*x : 4*x+4]
		p[0], p[1], p[2], p[3] = level(light+warm), level(light+green), level(light-warm), 255
	}
}

func level(v float64) uint8 { return uint8(min(max(v, 0), 255)) }

// octaves returns the sum of n octaves of noise, about -0.6 to 0.6. The first octave has cells of 1,024 pixels.
func octaves(x, y int, seed uint32, n int) (sum float64) {
	scale, strength := 1024, 0.5
	for i := range n {
		sum += strength * smooth(x, y, scale, seed+uint32(i)<<8)
		scale, strength = max(scale/2, 1), strength*0.6
	}
	return sum
}

// smooth returns noise between -0.5 and 0.5: one value for each cell of a grid, interpolated between cells.
func smooth(x, y, cell int, seed uint32) float64 {
	cx, cy := x/cell, y/cell
	fx, fy := float64(x%cell)/float64(cell), float64(y%cell)/float64(cell)
	fx, fy = fx*fx*(3-2*fx), fy*fy*(3-2*fy)
	top := hash(cx, cy, seed)*(1-fx) + hash(cx+1, cy, seed)*fx
	bottom := hash(cx, cy+1, seed)*(1-fx) + hash(cx+1, cy+1, seed)*fx
	return top*(1-fy) + bottom*fy - 0.5
}

// hash returns a number between 0 and 1 for a cell.
func hash(x, y int, seed uint32) float64 {
	h := uint32(x)*0x9e3779b1 ^ uint32(y)*0x85ebca77 ^ seed*0xc2b2ae3d
	h = (h ^ h>>15) * 0x2c1b3c6d
	h = (h ^ h>>12) * 0x297a2d39
	return float64(h^h>>15) / (1 << 32)
}
