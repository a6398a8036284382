package authz

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"

	"imagery/infra/policy"
)

// Grant is an action that statements of a holder's policies allow on the same resources.
type Grant struct {
	Holder    string // a principal, or a VPC endpoint
	Action    string
	Resources string // separated by blanks
}

// String returns the grant as a line of a report.
func (g Grant) String() string { return g.Holder + " " + g.Action + " " + g.Resources }

// Record holds requests that policies allowed. Its zero value is empty and ready for use.
type Record struct {
	mu      sync.Mutex
	calls   int
	holders map[string]*holder
}

// holder holds the latest policies of a principal or a VPC endpoint, and the different requests that they allowed.
type holder struct {
	layer    func(*Policies) *[]policy.Document // returns the field that has its policies
	policies []policy.Document
	requests map[string]Allowed
}

// Allowed is a request, and the policies that allowed it.
type Allowed struct {
	Policies
	Request
}

func identity(p *Policies) *[]policy.Document { return &p.Identity }
func endpoint(p *Policies) *[]policy.Document { return &p.Endpoint }

// Add records the requests of one call of a principal. The latest policies of a principal count for its earlier
// requests, too.
func (r *Record) Add(principal string, requests ...Allowed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	for _, a := range requests {
		r.add(principal, identity, a)
		if a.Endpoint != nil {
			service, _, _ := strings.Cut(a.Action, ":")
			r.add("VPC endpoint of "+service, endpoint, a)
		}
	}
}

func (r *Record) add(name string, layer func(*Policies) *[]policy.Document, a Allowed) {
	if r.holders == nil {
		r.holders = map[string]*holder{}
	}
	h := r.holders[name]
	if h == nil {
		h = &holder{layer: layer, requests: map[string]Allowed{}}
		r.holders[name] = h
	}
	h.policies = *layer(&a.Policies)
	h.requests[fmt.Sprint(a.Request)] = a
}

// Replay is the outcome of evaluating recorded requests again, with each grant removed in turn.
type Replay struct {
	Calls int // recorded, repetitions included
	// Needed are the grants without which a request is denied, with an error that names the action. Unneeded are those
	// without which all recorded requests would be allowed.
	Needed, Unneeded []Grant
}

// String returns the line of a report.
func (r Replay) String() string {
	return fmt.Sprintf("rights: %d calls, %d of %d actions needed; each denied by name when removed", r.Calls,
		len(r.Needed), len(r.Needed)+len(r.Unneeded))
}

// Replay evaluates the recorded requests with each grant removed in turn. It returns an error if a denial does not name
// the removed action.
func (r *Record) Replay() (out Replay, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	out.Calls = r.calls
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(r.holders)) {
		h := r.holders[name]
		for _, g := range grants(name, h.policies) {
			needed, err := h.needs(g)
			errs = append(errs, err)
			if needed {
				out.Needed = append(out.Needed, g)
			} else {
				out.Unneeded = append(out.Unneeded, g)
			}
		}
	}
	return out, errors.Join(errs...)
}

// needs reports whether a recorded request is denied without a grant.
func (h *holder) needs(g Grant) (bool, error) {
	less := without(h.policies, g)
	for _, a := range h.requests {
		if !like(strings.ToLower(g.Action), strings.ToLower(a.Action)) {
			continue // it needs another action
		}
		p := a.Policies
		*h.layer(&p) = h.policies
		if Evaluate(p, a.Request) != nil {
			continue // the policies have changed since
		}
		*h.layer(&p) = less
		if err := Evaluate(p, a.Request); err != nil {
			if !strings.Contains(err.Error(), "allows the "+a.Action+" action") {
				return true, fmt.Errorf("without %s: %w, which does not name the action", g, err)
			}
			return true, nil
		}
	}
	return false, nil
}

// without returns policies that do not have a grant. It is removed from every statement about the same resources: one
// of two may have a condition.
func without(from []policy.Document, g Grant) []policy.Document {
	var out []policy.Document
	for _, d := range from {
		d.Statement = slices.Clone(d.Statement)
		for i := range d.Statement {
			if s := &d.Statement[i]; s.Effect == policy.Allow && strings.Join(s.Resource, " ") == g.Resources {
				s.Action = slices.DeleteFunc(slices.Clone(s.Action), func(a string) bool { return a == g.Action })
			}
		}
		out = append(out, d)
	}
	return out
}

// grants returns the grants of policies, each once.
func grants(holder string, policies []policy.Document) (out []Grant) {
	for _, d := range policies {
		for _, s := range d.Statement {
			for _, action := range s.Action {
				g := Grant{holder, action, strings.Join(s.Resource, " ")}
				if s.Effect == policy.Allow && !slices.Contains(out, g) {
					out = append(out, g)
				}
			}
		}
	}
	return out
}
