package settings

// Numbers of processes of the local fleet. With two of each, any one may be killed without an outage.
const (
	LocalServers = 2
	LocalWorkers = 2
)
