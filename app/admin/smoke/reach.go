package smoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"syscall"
	"time"

	"imagery/app/client"
)

const (
	// reachInterval is the time between two attempts to reach the service.
	reachInterval = 3 * time.Second
	// giveUpAfter sets how long all connections must time out until reach gives up early: a firewall that has dropped
	// packets for a minute will not stop doing so.
	giveUpAfter = time.Minute
)

// reach requests /healthz until it succeeds, for at most Options.Wait. It returns an error early if retrying cannot
// help.
func (r *run) reach(ctx context.Context) (string, error) {
	began, lastReason := time.Now(), ""
	var timingOut time.Time // since when every attempt has timed out; zero if the last one failed otherwise
	var before error        // the last error of another kind from the service's address
	for {
		attempt := time.Now()
		_, err := r.get(ctx, "/healthz")
		if err == nil {
			return "GET /healthz is 200", nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		reason, retry := unreachableReason(r.base.Hostname(), err)
		switch dns := (*net.DNSError)(nil); {
		case !errors.Is(reason, ErrUnreachable):
			if timingOut = (time.Time{}); !errors.As(err, &dns) {
				before = reason
			}
		case before != nil: // no firewall, since there was a response before
			reason = fmt.Errorf("%s: the connection timed out, and before that %w", r.base.Hostname(), before)
		case timingOut.IsZero():
			timingOut = attempt
		}
		giveUp := !timingOut.IsZero() && time.Since(timingOut) >= giveUpAfter
		if !retry || giveUp || time.Since(began)+reachInterval > r.Wait {
			return "", reason
		}
		if reason.Error() != lastReason {
			lastReason = reason.Error()
			r.Log(fmt.Sprintf("waiting for up to %s: %s", (r.Wait - time.Since(began)).Round(time.Second), lastReason))
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(reachInterval):
		}
	}
}

// unreachableReason describes why the service cannot be reached, and reports whether retrying may help.
func unreachableReason(host string, err error) (reason error, retry bool) {
	dns, status := (*net.DNSError)(nil), (*client.StatusError)(nil)
	cert, dial := (*tls.CertificateVerificationError)(nil), (*net.OpError)(nil)
	wrongName := x509.HostnameError{}
	noServer := []int{http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}
	switch {
	case errors.As(err, &dns):
		return fmt.Errorf("the name %s does not resolve (yet): %w", host, dns), true
	case errors.As(err, &wrongName):
		return fmt.Errorf("the certificate is not for %s; use a domain that is in it: %w", host, wrongName), false
	case errors.As(err, &cert):
		return fmt.Errorf("the certificate is not trusted: %w", cert), false
	case errors.As(err, &dial) && dial.Op == "dial" && dial.Timeout():
		return fmt.Errorf("%s: %w", host, ErrUnreachable), true
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no program listens at the address: %w", err), true
	case errors.As(err, &status) && slices.Contains(noServer, status.Status):
		return fmt.Errorf("the load balancer has no server that is ready: %w", status), true
	case errors.As(err, &status):
		return fmt.Errorf("this is not Imagery, or it is broken: %w", status), false
	default:
		return err, true
	}
}
