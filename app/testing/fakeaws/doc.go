// Package fakeaws is AWS in a test: a table, a bucket and a queue on one endpoint of this process, which the
// test's own clients and the real binary in child processes use alike. What passes the endpoint is recorded,
// and may be hit by faults.
//
// The table is minidyn, the objects are gofakes3's; where they differ from AWS in behaviour that the product
// relies on, table.go corrects it. The queue is our own implementation. The conformance suite that checks the adapters
// checks these semantics too, for it runs against other emulators, and AWS itself, with the same expectations.
//
// Nothing of the product may import this package.
package fakeaws
