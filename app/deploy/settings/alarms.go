package settings

import (
	"regexp"
	"strings"
)

// Project is the name of the Pulumi project. It is a tag of all resources of a stack and the prefix of their names.
const Project = "imagery"

// ShortStack returns the name of a stack without the organization and project that may precede it.
func ShortStack(stack string) string { return stack[strings.LastIndexByte(stack, '/')+1:] }

// Alarms are the names of a stack's alarms. infra creates them, the runbook has a section for each, and operators type
// them. The name on AWS has a prefix and may have a suffix, see AlarmOf.
var Alarms = []string{
	"dead-letters", "queue-age", "lag",
	"server-errors", "server-latency", "server-full", "worker-failures",
	"balancer-errors", "servers-unhealthy", "servers-low", "workers-low", "servers-silent", "workers-silent",
	"table-throttled", "table-errors",
}

// GuardAlarms judge a release: a rollout is rolled back when one of them goes to ALARM.
var GuardAlarms = []string{"server-errors", "server-latency", "worker-failures"}

// AlarmPrefix returns the prefix of the AWS names of all alarms of a stack. The alarms of another stack may have it,
// too: that of "dev" is a prefix of that of "dev-2".
func AlarmPrefix(stack string) string { return Project + "-" + ShortStack(stack) + "-" }

// randomSuffix matches the suffix that Pulumi appends to a name, so that a replacement can exist beside the old
// resource.
var randomSuffix = regexp.MustCompile(`^-[0-9a-f]{7}$`)

// AlarmOf returns the element of Alarms for the name of an alarm on AWS, or "" if it is no alarm of the stack.
func AlarmOf(stack, onAWS string) string {
	for _, name := range Alarms {
		suffix, ok := strings.CutPrefix(onAWS, AlarmPrefix(stack)+name)
		if ok && (suffix == "" || randomSuffix.MatchString(suffix)) {
			return name
		}
	}
	return ""
}
