// Package icc converts pixels of other colour spaces to sRGB: by ICC profiles (RGB, grey and CMYK; matrices and
// tables) and by the colour tags of PNG, HEIC and AVIF.
//
// The result is LittleCMS's with relative colorimetric intent and black point compensation. A profile is read into a
// pipeline, which computes one colour in floating point. A Transform holds tables made from it, and converts pixels
// with integers only, so that amd64 and arm64 give the same bytes. For profiles with tables it is a grid like that of
// LittleCMS.
//
// Profiles come from strangers. Parse copies nothing out of a profile and reads only the entries of its tables that
// it needs for a fixed number of colours: a tag that lies about its size costs no memory, and a large profile no
// time.
//
// The package is our own because github.com/kovidgoyal/imaging v1.9.0 allocates what the header of a profile claims
// (1.5 GiB for 2^26 tags, 51 GB for the most), panics on an offset past the end of a table, truncates to 8 bits where
// LittleCMS rounds, and computes each pixel in floating point, which arm64 fuses.
package icc
