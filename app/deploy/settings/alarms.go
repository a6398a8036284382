package settings

import (
	"regexp"
	"strings"
)

// Project is the name of the Pulumi project: a tag of everything that a stack makes, and the beginning of its names.
const Project = "imagery"

// ShortStack is the name of a stack without the organization and project that Pulumi takes before it.
func ShortStack(stack string) string { return stack[strings.LastIndexByte(stack, '/')+1:] }

// Alarms are the names of a stack's alarms: infra makes them, the runbook has a section for each, and operators type
// them. On AWS the name has that of the stack before it and a suffix behind it, see AlarmOf.
var Alarms = []string{
	"dead-letters", "queue-age", "lag",
	"server-errors", "server-latency", "server-full", "worker-failures",
	"balancer-errors", "servers-unhealthy", "servers-low", "workers-low", "servers-silent", "workers-silent",
	"table-throttled", "table-errors",
}

// GuardAlarms are those that judge a release: a rollout stops and goes back while one of them rings.
var GuardAlarms = []string{"server-errors", "server-latency", "worker-failures"}

// AlarmPrefix begins the names on AWS of all alarms of a stack, and those of stacks whose names begin alike.
func AlarmPrefix(stack string) string { return Project + "-" + ShortStack(stack) + "-" }

// madeUp is what Pulumi puts behind a name, so that a replacement can stand beside the old one.
var madeUp = regexp.MustCompile(`^-[0-9a-f]{7}$`)

// AlarmOf is the name, one of Alarms, of what is called so on AWS, or "" if that is no alarm of the stack.
func AlarmOf(stack, onAWS string) string {
	for _, name := range Alarms {
		whole := AlarmPrefix(stack) + name
		if onAWS == whole || len(onAWS) > len(whole) && onAWS[:len(whole)] == whole && madeUp.MatchString(onAWS[len(whole):]) {
			return name
		}
	}
	return ""
}
