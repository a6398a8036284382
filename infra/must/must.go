// Package must ends the program at errors that only a mistake in it can cause. The registration of a resource returns
// such an error for a missing argument, for example; what AWS refuses is none, since the Pulumi SDK registers resources
// in the background and fails the program with it later.
package must

// Get returns v, and panics if err is not nil.
func Get[V any](v V, err error) V {
	OK(err)
	return v
}

// OK panics if err is not nil.
func OK(err error) {
	if err != nil {
		panic(err)
	}
}
