// Package browser drives both pages in a real Chromium against the real program: the built binary with
// -role local on a port of its own, once with an emulated AWS behind it. Nothing of the program is imported
// or replaced; where a test needs an answer that a healthy fleet does not give, it is put in between browser
// and network.
//
// The tests need chromium, npm and, once, the npm registry. Without them they are skipped, or fail when
// REQUIRE_ALL=1. IMAGERY_BINARY names a program to test instead of a fresh build.
package browser
