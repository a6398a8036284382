package rollout

// Classify calls classify, and returns its row.
func Classify(instance, message string) (name, cause, advice string) {
	m := classify(instance, message)
	return m.name, string(m.cause), m.advice
}

// LaunchMessages returns the names of the rows of launchMessages.
func LaunchMessages() (names []string) {
	for _, m := range launchMessages {
		names = append(names, m.name)
	}
	return names
}
