package settings

// The local fleet: two of each, so that any one may die.
const (
	LocalServers = 2
	LocalWorkers = 2
)
