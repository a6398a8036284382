// Package e2e tests the built binary from outside: it starts fleets, sends HTTP requests, kills processes and checks
// what is stored. It has tests only.
package e2e
