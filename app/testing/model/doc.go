// Package model tests the domain by simulation. Clients, servers, workers, reconcilers and operators run the real code
// of package imagery on simulated ports. At every port call the scheduler may run others first, lose an answer, repeat
// or delay the effect, or kill the process. Every promise is checked after every step. At the end all faults stop, and
// no accepted upload may stay unfinished.
//
// A history is determined by its seed. IMAGERY_MODEL_SEED replays one, LONG=1 runs many more. The package has tests
// only.
package model
