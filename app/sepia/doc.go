// Package sepia implements the sepia filter. It works on bytes in memory and does no I/O.
//
// It accepts JPEG, PNG, GIF, WebP, HEIC and AVIF, and takes the first frame of an animation. JPEG and opaque WebP, HEIC
// and AVIF become JPEG, all other photos PNG. A result has a warning if the file was damaged and its picture could be
// processed nevertheless. It is upright, in sRGB, and has no metadata: no location and no colour profile. Photos in
// other colours are converted before the filter, see colours.
//
// A photo with YCbCr planes that becomes a JPEG is filtered and encoded in strips on several cores, without conversion
// to RGB pixels; package jfif also decodes JPEGs in strips. A PNG goes row by row through package pngstream.
// Other images are turned with package imaging, filtered and encoded in bands of rows.
//
// A row has the pixels of one y. A band has some whole rows. A strip of a result has the rows that are encoded at once,
// between two restart markers of the file. A tile has some whole rows of a turned band. A block has 8 x 8 samples or
// coefficients, and an MCU of a result those of 16 x 16 pixels. A draft is a strip in the standard Huffman codes, which
// are replaced by those of the photo.
//
// On amd64 with AVX2, the loops over blocks and pixels are in assembly, here and in package jfif. Each has the same
// results as Go code, which runs everywhere else, and with GODEBUG=cpu.avx2=off.
//
// Inspect reads a header, rejects what the filter cannot process, and estimates the memory of Apply. Apply runs the
// steps of pipeline. Both return an *imagery.BadPhoto if the photo itself is the cause, so that a retry is useless.
package sepia
