// Package cli is the command line of the binary: the roles and the commands of an operator. The commands work on both
// stores through the ports of package imagery, and through Store for what the roles have no permission to do. Rules
// about images are in package imagery; each command here parses its flags, calls the library behind it and prints the
// result.
package cli
