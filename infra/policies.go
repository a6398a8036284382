package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io"

	"imagery/infra/deployer"
	"imagery/infra/must"
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
	unscoped, scoped := deployer.Policies(*boundary)
	texts := []string{unscoped, scoped}
	if *forBoundary {
		texts = []string{deployer.BoundaryPolicy()}
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
