// Package model checks the domain by letting a small world run wild around it. Clients, servers, workers,
// reconcilers and operators drive the real code of package imagery through its ports; every port call is a
// place where the scheduler may let others go first, lose an answer, repeat or delay the effect, or kill the
// process. After every step every promise is asserted, and in the end the world heals and nothing that was
// accepted may be unfinished.
//
// A history follows from its seed alone. IMAGERY_MODEL_SEED replays one, LONG=1 runs many more. The package
// has no code of its own beside its tests.
package model
