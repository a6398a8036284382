package smoke

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"imagery/app/client"
)

const (
	// reachPause lies between two attempts to reach the service.
	reachPause = 3 * time.Second
	// closedAfter is how long connections time out before the door is called closed although there would be more
	// time: packets that are dropped for a minute are dropped on purpose.
	closedAfter = time.Minute
)

// reach waits until the service answers, and says how long that took.
func (r *run) reach(ctx context.Context) (string, error) {
	began, last := time.Now(), ""
	var closed time.Time // since when every attempt timed out
	var met error        // what somebody behind the door said
	for {
		tried := time.Now()
		err := r.alive(ctx)
		if err == nil {
			return "GET /healthz is 200", nil
		}
		if ctx.Err() != nil {
			return "", ctx.Err()
		}
		why, worth := obstacle(r.base.Hostname(), err)
		switch name := (*net.DNSError)(nil); {
		case !errors.Is(why, ErrUnreachable):
			if closed = (time.Time{}); !errors.As(err, &name) {
				met = why
			}
		case met != nil: // a door that was open is not closed to us; this is trouble
			why = fmt.Errorf("%s: the connection timed out, and before that %w", r.base.Hostname(), met)
		case closed.IsZero():
			closed = tried
		}
		given := !closed.IsZero() && time.Since(closed) >= closedAfter
		if !worth || given || time.Since(began)+reachPause > r.Wait {
			return "", why
		}
		if why.Error() != last {
			last = why.Error()
			r.say(fmt.Sprintf("waiting for up to %s: %s", (r.Wait - time.Since(began)).Round(time.Second), last))
		}
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(reachPause):
		}
	}
}

// alive asks the process behind the door, over a connection of its own: a name may lead elsewhere by now.
func (r *run) alive(ctx context.Context) error {
	_, err := r.api.Expect(ctx, http.MethodGet, "/healthz", nil, newConnection, http.StatusOK)
	return err
}

// obstacle says in words why the service cannot be reached, and whether time may help.
func obstacle(host string, err error) (why error, worth bool) {
	name, answer := (*net.DNSError)(nil), (*client.StatusError)(nil)
	cert, dial := (*tls.CertificateVerificationError)(nil), (*net.OpError)(nil)
	wrongName := x509.HostnameError{}
	switch {
	case errors.As(err, &name):
		return fmt.Errorf("the name %s does not resolve (yet): %w", host, name), true
	case errors.As(err, &wrongName):
		return fmt.Errorf("the certificate is for another name than %s; use the domain that it was made for: %w", host, wrongName), false
	case errors.As(err, &cert):
		return fmt.Errorf("the certificate is not trusted: %w", cert), false
	case errors.As(err, &dial) && dial.Op == "dial" && dial.Timeout():
		return fmt.Errorf("%s: %w", host, ErrUnreachable), true
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("nobody listens at the address: %w", err), true
	case errors.As(err, &answer) && (answer.Status == http.StatusBadGateway || answer.Status == http.StatusServiceUnavailable || answer.Status == http.StatusGatewayTimeout):
		return fmt.Errorf("the balancer has no server that is ready: %w", answer), true
	case errors.As(err, &answer):
		return fmt.Errorf("this is no imagery, or a broken one: %w", answer), false
	default:
		return err, true
	}
}
