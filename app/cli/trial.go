package cli

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"time"

	"imagery/app/admin/smoke"
)

const aboutSmoke = `Does what a user does: opens the page, sends two small photos, waits, fetches the results and compares every pixel with
what it must be; a PNG exactly, a JPEG as far as its encoder allows. One line per step says how long it took.

URL is the service; with --stack it may be left out. No step is repeated; --for waits only until the service can be reached: for
a name that does not resolve yet, and for a balancer that has no server yet. A connection that times out for a minute is a
closed door: then this machine is not in allowedCidrs, or the service is in a network of its own.

There is no request that deletes a photo: the two stay until the bucket's lifecycle removes them (locally -upload-life).`

// trySmoke is the verb smoke.
func trySmoke(fs *flag.FlagSet) func(context.Context, Call) error {
	wait := fs.Duration("for", 0, "how `long` to wait until the service can be reached, such as 5m")
	release := fs.String("release", "", "the `SHA-256` that every answer of /version must have, or its first digits")
	asJSON := jsonFlag(fs)
	return func(ctx context.Context, c Call) error {
		if *wait < 0 {
			return usage("--for %s is negative", *wait)
		}
		url, err := c.serviceURL(ctx)
		if err != nil {
			return err
		}
		o := smoke.Options{URL: url, Wait: *wait, Release: *release}
		if !*asJSON {
			o.Log = func(line string) { fmt.Fprintln(c.Out, line) }
		}
		report, err := smoke.Run(ctx, o)
		if err != nil && len(report.Steps) == 0 {
			return usage("%v (see -h)", err)
		}
		if *asJSON {
			return errors.Join(c.document(report), smokeVerdict(ctx, report, err))
		}
		if err == nil {
			fmt.Fprintf(c.Out, "ok: %d photos came back as they should, %s\n", len(report.Images), time.Duration(report.Took).Round(time.Millisecond))
		}
		return smokeVerdict(ctx, report, err)
	}
}

// smokeVerdict is one line: the steps have said what is wrong.
func smokeVerdict(ctx context.Context, report smoke.Report, err error) error {
	if err == nil {
		return nil
	}
	failed := 0
	for _, s := range report.Steps {
		if s.Error != "" {
			failed++
		}
	}
	if failed == 1 {
		return errors.Join(interrupted(ctx), err)
	}
	return errors.Join(interrupted(ctx), fmt.Errorf("%s of %d failed", plural(failed, "step"), len(report.Steps)))
}

// serviceURL is the argument, or else the stack's.
func (c Call) serviceURL(ctx context.Context) (string, error) {
	if len(c.Args) > 0 {
		return c.oneID("URL")
	}
	p, err := c.place(ctx)
	if err != nil {
		return "", err
	}
	if p.out.URL == "" {
		return "", usage("give the URL of a service, or --stack of one without a certificate (see -h)")
	}
	return p.out.URL, nil
}
