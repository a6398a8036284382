package rollout

import "regexp"

// LaunchMessage is a row of the table of launch failures, for tests of the other package.
type LaunchMessage struct {
	Name, Cause, Advice, Example, Source string
	Form                                 *regexp.Regexp
}

// LaunchMessages returns the table.
func LaunchMessages() []LaunchMessage {
	var out []LaunchMessage
	for _, m := range launchMessages {
		out = append(out, LaunchMessage{m.name, m.cause.String(), m.advice, m.example, m.source, m.form})
	}
	return out
}

// Classify returns the name of the row that classify picks, and its cause.
func Classify(instance, message string) (name, cause string) {
	m := classify(instance, message)
	return m.name, m.cause.String()
}
