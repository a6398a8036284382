package main

import "testing"

func TestLongestStep(t *testing.T) {
	const console = "imagery boot: install (after 1 s)\nFAILED\nvm login: imagery boot: run the self-test (after 2 s)\n" +
		"imagery boot: start the service (after 52 s)\nimagery boot: in service (after 54 s)\n"
	if step, seconds := longestStep(console); step != "run the self-test" || seconds != 50 {
		t.Errorf("%q, %d", step, seconds)
	}
	if step, seconds := longestStep("nothing"); step != "" || seconds != 0 {
		t.Errorf("%q, %d", step, seconds)
	}
}
