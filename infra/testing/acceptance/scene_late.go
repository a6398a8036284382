package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"regexp"
	"strconv"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

// bootStep matches a line of the boot script on the console: a step, and the second of the boot in which it began.
var bootStep = regexp.MustCompile(`imagery boot: ([^\n]+?) \(after (\d+) s\)`)

// longestStep returns the step of a boot that took longest, and the seconds that it took.
func longestStep(console string) (step string, seconds int) {
	before, began := "", 0
	for _, m := range bootStep.FindAllStringSubmatch(console, -1) {
		at, _ := strconv.Atoi(m[2]) // digits
		if at-began > seconds {
			step, seconds = before, at-began
		}
		before, began = m[1], at
	}
	return step, seconds
}

// lateStep is the shortest duration of a step that waited for permissions: without them, all together take less.
const lateStep = 10 * time.Second

// lateRights reads on the consoles of the first instances what they waited for.
func lateRights(ctx context.Context, t *T) error {
	ids, err := t.instances(ctx)
	if err != nil {
		return err
	}
	client, waited := ec2.NewFromConfig(t.aws), 0
	for _, id := range ids {
		out, err := client.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &id,
			Latest: aws.Bool(true)}) // else that of the start, if any yet
		if err != nil {
			return fmt.Errorf("read the console of %s: %w", id, err)
		}
		text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
		if err != nil {
			return fmt.Errorf("read the console of %s: %w", id, err)
		}
		step, seconds := longestStep(string(text))
		if !bootStep.Match(text) {
			return fmt.Errorf("the console of %s has no steps of its boot", id)
		}
		t.figure("%s: the step %q took %d s", id, step, seconds)
		if time.Duration(seconds)*time.Second >= lateStep {
			waited++
		}
	}
	switch {
	case waited > 0:
		return nil
	case t.side.late > 0:
		return fmt.Errorf("no instance waited, though permissions came %s late", t.side.late)
	}
	return skipError("the permissions of this run were not late")
}
