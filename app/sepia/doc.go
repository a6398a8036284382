// Package sepia turns a photo into its old sepia look: bytes in, bytes out, no I/O.
//
// It takes JPEG, PNG, GIF (the first frame) and still WebP. Opaque photos of the lossy formats come out as JPEG,
// everything else as PNG; the photo is turned upright by its EXIF orientation, and no metadata survives: neither
// the place it was taken at nor a colour profile. Pixels are taken as sRGB.
//
// Photos that are stored in planes, and become JPEGs, never turn into pixels: they are toned and encoded strip by strip,
// on several cores; package baseline also reads the plain ones so. The rest goes through imaging.
//
// Inspect reads a header and refuses what the filter would not survive; its Photo says how much memory Apply will
// hold. Apply does the work, in the steps that pipeline lists. A photo that cannot be read is an *imagery.BadPhoto:
// the photo itself is the reason, and no retry helps.
package sepia
