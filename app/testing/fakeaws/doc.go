// Package fakeaws emulates DynamoDB, S3 and SQS for tests, on one endpoint of the test's process. The test's own
// clients and the binary in child processes use it alike. A proxy records all calls and injects faults.
//
// The table is minidyn, the bucket is gofakes3; table.go corrects their behaviour where it differs from AWS and the
// product depends on it. The queue is implemented here. The conformance suite checks the adapters, and with them the
// emulators, because it also runs against other emulators and AWS.
//
// The product must not import this package.
package fakeaws
