// Package browser tests both pages in Chromium against the built binary in role local, once with emulated AWS. The
// tests import no code of the product but the HTTP client. Where they need an answer that a healthy fleet does not
// give, they intercept the request in the browser.
//
// The tests need chromium, npm and, once, the npm registry. Without them they are skipped, or fail when REQUIRE_ALL=1.
// IMAGERY_BINARY names a binary to test instead of a new build.
package browser
