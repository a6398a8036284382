package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
)

var (
	deniedLine = regexp.MustCompile(`(?i)access ?denied|not authorized|403`)
	servedLine = regexp.MustCompile(`imagery boot: in service \(after (\d+) s\)`)
)

// lateRights reads on the consoles of the first instances what they waited for.
func lateRights(ctx context.Context, t *T) error {
	ids, err := t.instances(ctx)
	if err != nil {
		return err
	}
	client, denied := ec2.NewFromConfig(t.aws), 0
	for _, id := range ids {
		out, err := client.GetConsoleOutput(ctx, &ec2.GetConsoleOutputInput{InstanceId: &id})
		if err != nil {
			return fmt.Errorf("read the console of %s: %w", id, err)
		}
		text, err := base64.StdEncoding.DecodeString(aws.ToString(out.Output))
		if err != nil {
			return fmt.Errorf("read the console of %s: %w", id, err)
		}
		n := len(deniedLine.FindAll(text, -1))
		denied += n
		if m := servedLine.FindSubmatch(text); m != nil {
			t.figure("%s was denied %d times and in service %s s after its boot began", id, n, m[1])
		}
	}
	switch {
	case denied > 0:
		return nil
	case t.side.late > 0:
		return errors.New("no instance was denied anything, though permissions came late")
	}
	return skipError("the permissions of this run were not late")
}
