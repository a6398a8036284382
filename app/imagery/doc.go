// Package imagery implements the domain: the state machine of an image, and the upload, processing and repair of
// images, so that an accepted photo is never lost.
//
// The catalog is the source of truth and a queue message is only a hint. Every decision is made from a fresh,
// consistent read of the item, every change is a conditional write, and every step is safe to repeat, to reorder
// and to lose.
// The package imports the standard library only. Storage is reached through the ports Catalog, Blobs and Queue,
// the photo filter through Filter. The package does not depend on HTTP, AWS, SQLite or an image codec.
package imagery
