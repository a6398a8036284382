package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"slices"

	"imagery/app/deploy/iam"
	"imagery/infra/must"
	"imagery/infra/policy"
)

// printPolicies runs `go run ./infra policies`: it writes the policies of a deployer, or with -for-boundary a policy
// for the permissions boundary of instance roles.
func printPolicies(out io.Writer, args []string) error {
	flags := flag.NewFlagSet("policies", flag.ContinueOnError)
	flags.SetOutput(out)
	boundary := flags.String("boundary", "", "ARN of the permissions boundary that every role must have")
	which := flags.Int("policy", 0, "1 or 2: print only this policy")
	forBoundary := flags.Bool("for-boundary", false, "print a policy for the permissions boundary instead")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *boundary != "" && !boundaryForm.MatchString(*boundary) {
		return fmt.Errorf("-boundary %q is not the ARN of an IAM policy", *boundary)
	}
	unscoped, scoped := deployerPolicies(*boundary)
	texts := []string{unscoped, scoped}
	if *forBoundary {
		texts = []string{boundaryPolicy()}
	} else if *which == 1 || *which == 2 {
		texts = texts[*which-1 : *which]
	}
	for _, p := range texts {
		if _, err := fmt.Fprintln(out, indented(p)); err != nil {
			return err
		}
	}
	return nil
}

// indented formats a policy for people. IAM does not count white space.
func indented(p string) string {
	var b bytes.Buffer
	must.OK(json.Indent(&b, []byte(p), "", " "))
	return b.String()
}

// boundaryPolicy renders a permissions boundary that allows every action which an instance of any stack needs.
func boundaryPolicy() string {
	var actions []string
	for _, a := range slices.Concat(iam.Server, iam.Worker, iam.Selftest, iam.Boot, iam.Sessions,
		iam.Retired.Server, iam.Retired.Worker, iam.Retired.Boot) {
		actions = append(actions, a.Name())
	}
	return policy.JSON(byService(actions, func(service, _ string) bool {
		return slices.Contains([]string{"s3", "dynamodb", "sqs", "logs"}, service) // the role's policy limits the others
	})...)
}
