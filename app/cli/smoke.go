package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"imagery/app/admin/smoke"
)

const aboutSmoke = `Test a service as a user would: upload two photos and check the results

It opens the page, uploads two small photos, waits, downloads the results and compares every pixel with the expected
one: a PNG exactly, a JPEG within the tolerance of its encoder. One line per step says how long it took.

URL is the address of the service; with --stack it may be left out. No step is repeated; --for only waits until the
service can be reached: for a name that does not resolve yet, and for a load balancer that has no server yet. If the
connection times out for a minute, this machine is not in allowedCidrs, or the service is in a private network.

The two photos stay until the lifecycle rule of the bucket removes them (locally after --upload-life).`

func smokeCmd(fs *flag.FlagSet) func(context.Context, Invocation) error {
	wait := fs.Duration("for", 0, "how `long` to wait until the service can be reached, such as 5m")
	release := fs.String("release", "", "the `SHA-256` that every answer of /version must be, or its first digits")
	return func(ctx context.Context, inv Invocation) error {
		if *wait < 0 {
			return usage("--for %s is negative", *wait)
		}
		url, err := inv.serviceURL(ctx)
		if err != nil {
			return err
		}
		o := smoke.Options{URL: url, Wait: *wait, Release: *release}
		if !inv.JSON {
			o.Log = func(line string) { fmt.Fprintln(inv.Out, line) }
		}
		report, err := smoke.Run(ctx, o)
		failed := 0
		for _, s := range report.Steps {
			if s.Error != "" {
				failed++
			}
		}
		switch {
		case err != nil && len(report.Steps) == 0:
			return usage("%v", err)
		case failed > 1: // one line, since every failed step has been printed
			err = fmt.Errorf("%s of %d failed", plural(failed, "step"), len(report.Steps))
		}
		err = errors.Join(interrupted(ctx), err)
		if inv.JSON {
			return errors.Join(inv.printJSON(report), err)
		}
		if err == nil {
			fmt.Fprintf(inv.Out, "ok: %d photos were processed correctly, %s\n",
				len(report.Images), time.Duration(report.Took)*time.Millisecond)
		}
		return err
	}
}

// serviceURL returns the argument, else the address of the stack.
func (inv Invocation) serviceURL(ctx context.Context) (string, error) {
	switch len(inv.Args) {
	case 0:
		t, err := inv.target(ctx)
		if err == nil && t.out.URL == "" {
			err = usage("give the URL of a service; --stack alone works only for a stack without a certificate")
		}
		return t.out.URL, err
	case 1:
		return inv.Args[0], nil
	}
	return "", usage("give one URL")
}
