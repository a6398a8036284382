package nspawn

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"strings"
	"time"
)

// serveMetadata implements the instance metadata service. It recognises a machine by its address and requires a token.
func (h *Host) serveMetadata(w http.ResponseWriter, r *http.Request) {
	m := h.at(r.RemoteAddr)
	path := strings.TrimPrefix(r.URL.Path, "/latest/")
	switch {
	case m == nil:
		http.NotFound(w, r)
	case path == "api/token" && r.Method == http.MethodPut:
		w.Header().Set("X-Aws-Ec2-Metadata-Token-Ttl-Seconds", r.Header.Get("X-Aws-Ec2-Metadata-Token-Ttl-Seconds"))
		fmt.Fprint(w, "token-of-"+m.ID)
	case r.Header.Get("X-Aws-Ec2-Metadata-Token") != "token-of-"+m.ID:
		http.Error(w, "IMDSv2 wants a token", http.StatusUnauthorized)
	case path == "meta-data/instance-id":
		fmt.Fprint(w, m.ID)
	case path == "meta-data/autoscaling/target-lifecycle-state":
		fmt.Fprint(w, h.Simulator.TargetState(m.ID))
	case path == "meta-data/iam/security-credentials/":
		fmt.Fprint(w, "instance")
	case path == "meta-data/iam/security-credentials/instance":
		_ = json.NewEncoder(w).Encode(map[string]any{"Code": "Success", "Type": "AWS-HMAC", "AccessKeyId": h.Role(m.Group),
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
