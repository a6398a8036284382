// Package server implements the HTTP API of the server role. It translates requests into calls of
// imagery.Service, and results and errors of the domain into HTTP responses; it makes no decisions about images.
// It limits memory (pool.go), time (timeouts), concurrent long polls (longpoll.go), and decides what clients learn
// about errors (errors.go).
//
// Every request passes the middleware in request.go, which assigns the request id, sets read deadlines, recovers
// panics and logs. A handler writes a successful response itself and returns every error, which writeError turns
// into a problem document. An upload is handled in this order: upload.go, form.go (up to the file), receive.go (the
// bytes of the file), reservation.go (the memory that holds them).
//
// The server keeps no state that another server would need: any number of servers can serve the same images.
package server
