// Package imagery is the product: what an image is, which states it goes through, and how uploading,
// processing and repairing move it along without ever losing an accepted photo.
//
// The catalog is the truth, a queue message is a hint: every decision is made from a fresh read of the
// item, every change is a conditional write, and every step may be repeated, reordered or lost.
// The package imports the standard library only. Storage arrives through the ports Catalog, Blobs and
// Queue, the photo filter through Filter; HTTP, AWS, SQLite and pixels are unknown here.
package imagery
