// Package server is the HTTP edge: it turns requests into calls of imagery.Service and answers, errors and
// time limits of the domain into HTTP. It decides nothing about images. What it owns are bounds: of memory
// (room), of time (bounds), of waiting requests (waits), and what a client is told (errors.go).
package server
