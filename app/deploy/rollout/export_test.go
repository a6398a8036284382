package rollout

import "regexp"

// LaunchMessage is a row of launchMessages.
type LaunchMessage struct {
	Name, Cause, Advice, Example, Source string
	Form                                 *regexp.Regexp
}

// LaunchMessages returns launchMessages.
func LaunchMessages() []LaunchMessage {
	var out []LaunchMessage
	for _, m := range launchMessages {
		out = append(out, LaunchMessage{m.name, m.cause.String(), m.advice, m.example, m.source, m.form})
	}
	return out
}

// Classify calls classify, and returns the name and the cause of its row.
func Classify(instance, message string) (name, cause string) {
	m := classify(instance, message)
	return m.name, m.cause.String()
}
