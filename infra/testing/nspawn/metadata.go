package nspawn

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// serveMetadata is the instance metadata service: it knows who asks by the address, and answers only who shows a
// token.
func (h *Host) serveMetadata(w http.ResponseWriter, r *http.Request) {
	who := h.at(r.RemoteAddr)
	path := strings.TrimPrefix(r.URL.Path, "/latest/")
	switch {
	case who == nil:
		http.NotFound(w, r)
	case path == "api/token" && r.Method == http.MethodPut:
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		fmt.Fprint(w, "token-of-"+who.ID)
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token-of-"+who.ID:
		http.Error(w, "IMDSv2 wants a token", http.StatusUnauthorized)
	case path == "meta-data/instance-id":
		fmt.Fprint(w, who.ID)
	case path == "meta-data/autoscaling/target-lifecycle-state":
		fmt.Fprint(w, h.Simulator.TargetState(who.ID))
	case path == "meta-data/iam/security-credentials/":
		fmt.Fprint(w, "instance")
	case path == "meta-data/iam/security-credentials/instance":
		_ = json.NewEncoder(w).Encode(map[string]any{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": h.Role(who.Group),
			"SecretAccessKey": "secret", "Token": "session", "LastUpdated": time.Now().UTC(),
			"Expiration": time.Now().UTC().Add(6 * time.Hour)})
	default:
		http.NotFound(w, r) // spot/instance-action until there is a notice
	}
}

func (h *Host) at(remote string) *machine {
	address, _, _ := net.SplitHostPort(remote) // empty: no machine has it
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, m := range h.machines {
		if m.address == address {
			return m
		}
	}
	return nil
}
