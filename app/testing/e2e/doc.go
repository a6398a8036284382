// Package e2e tests the built binary from outside: it starts fleets, talks HTTP to them, kills their processes
// and counts what was lost. It has no code of its own beside its tests.
package e2e
