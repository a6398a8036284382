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

// Classify is classify, with the cause as text.
func Classify(instance, message string) (cause, advice string) {
	c, a := classify(instance, message)
	return c.String(), a
}
