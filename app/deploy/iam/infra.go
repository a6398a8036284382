package iam

// Resources that only the machine around the binary touches.
const (
	Releases Resource = "releases/releases/*" // bucket/prefix
	Group    Resource = "group"
	Logs     Resource = "logs"
	Any      Resource = "*" // actions that AWS grants on nothing smaller
)

// Boot lists the calls of an instance around the binary: its boot script and its log agent, in either role.
var Boot = []Action{
	// The whole prefix: an instance of an older launch template version fetches an older release.
	{"s3", "GetObject", Releases, "", "fetch the release"},
	{"autoscaling", "CompleteLifecycleAction", Group, "", "enter service, give up, or leave"},
	{"logs", "CreateLogStream", Logs, "", "log agent"},
	{"logs", "PutLogEvents", Logs, "", "log agent; metrics travel in the lines"},
	{"logs", "DescribeLogStreams", Logs, "", "log agent"},
}

// Sessions lists the calls of the Session Manager agent. AWS's managed policy would let it read parameters too.
var Sessions = []Action{
	{"ssm", "UpdateInstanceInformation", Any, "", "be listed"},
	{"ssmmessages", "CreateControlChannel", Any, "", "wait for sessions"},
	{"ssmmessages", "OpenControlChannel", Any, "", "wait for sessions"},
	{"ssmmessages", "CreateDataChannel", Any, "", "a session"},
	{"ssmmessages", "OpenDataChannel", Any, "", "a session"},
}

// Retired are the calls that this release makes no more and the release before it made. Both run side by side
// during a rollout, and the policy is changed first, so a right goes one release after its last use: whoever
// removes a call from a list above moves it here, and whoever cuts the next release empties this.
var Retired = struct{ Server, Worker, Boot []Action }{}
