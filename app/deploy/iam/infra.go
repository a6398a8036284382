package iam

// Resources that the instance uses outside of the binary.
const (
	Releases Resource = "releases/releases/*" // bucket/prefix
	Group    Resource = "group"
	Logs     Resource = "logs"
	Any      Resource = "*" // actions that AWS grants on nothing smaller
)

// Boot lists the actions of an instance outside of the binary: its boot script and its log agent, in either role.
var Boot = []Action{
	// The whole prefix: an instance of an older launch template version fetches an older release.
	{"s3", "GetObject", Releases, "", "fetch the release"},
	{"autoscaling", "CompleteLifecycleAction", Group, "", "enter service, abandon the launch, or terminate"},
	{"logs", "CreateLogStream", Logs, "", "log agent"},
	{"logs", "PutLogEvents", Logs, "", "log agent; metrics are part of the log lines"},
	{"logs", "DescribeLogStreams", Logs, "", "log agent"},
}

// Sessions lists the actions of the Session Manager agent. AWS's managed policy would also allow reading parameters.
var Sessions = []Action{
	{"ssm", "UpdateInstanceInformation", Any, "", "register the instance"},
	{"ssmmessages", "CreateControlChannel", Any, "", "wait for sessions"},
	{"ssmmessages", "OpenControlChannel", Any, "", "wait for sessions"},
	{"ssmmessages", "CreateDataChannel", Any, "", "a session"},
	{"ssmmessages", "OpenDataChannel", Any, "", "a session"},
}

// Retired lists the actions that the previous release uses and this one does not. Both releases run side by side during
// a rollout, after the policy has changed, so a permission is removed one release after its last use. When you remove
// an action from a list above, move it here; when you cut the next release, empty this list.
var Retired = struct{ Server, Worker, Boot []Action }{}
