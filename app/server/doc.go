// Package server is the HTTP edge: it turns requests into calls of imagery.Service and answers, errors and
// time limits of the domain into HTTP. It decides nothing about images. What it owns are bounds: of memory
// (room), of time (bounds), of waiting requests (waits), and what a client is told (errors.go).
//
// A request passes exchange, which identifies, shields and logs it, then its handler; a handler answers a
// success itself and returns everything else as an error, which refuse turns into a problem. An upload reads
// in this order: upload.go, form.go (up to the file), receive.go (its bytes), room.go (where they are kept).
//
// Nothing is kept between requests that another server would miss: any number of them serve the same images.
package server
