package authz

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"imagery/infra/policy"
)

// operators maps condition operators to a comparison of one value of the policy with one value of the request.
var operators = map[string]func(want, got string) bool{
	"StringEquals": func(want, got string) bool { return want == got },
	"StringLike":   like,
	"ArnEquals":    like, // "ArnEquals and ArnLike behave identically."
	"ArnLike":      like,
	"Bool":         strings.EqualFold,
	"NumericLessThan": func(want, got string) bool {
		w, wErr := strconv.ParseFloat(want, 64)
		g, gErr := strconv.ParseFloat(got, 64)
		return wErr == nil && gErr == nil && g < w
	},
}

// forAll precedes an operator that must hold for every value of the request: "It also returns true if there are no
// keys in the request".
const forAll = "ForAllValues:"

// null is the operator that tests whether a key is present: "true" if it must be absent, "false" if it must be present.
const null = "Null"

// operator returns the comparison of an operator without its set prefix.
func operator(name string) (func(want, got string) bool, error) {
	if name == null {
		return strings.EqualFold, nil
	}
	if f := operators[strings.TrimPrefix(name, forAll)]; f != nil {
		return f, nil
	}
	return nil, fmt.Errorf("the condition operator %s is not implemented", name)
}

// meets reports whether the request meets all conditions. Parse has checked the operators.
func meets(conditions policy.Conditions, r Request) bool {
	for name, keys := range conditions {
		compare, err := operator(name)
		if err != nil {
			return false
		}
		for key, want := range keys {
			got, matched := r.values(key), 0
			if name == null {
				got = []string{strconv.FormatBool(got == nil)}
			}
			for _, g := range got {
				if slices.ContainsFunc(want, func(w string) bool { return compare(w, g) }) {
					matched++
				}
			}
			// "If the key that you specify in a policy condition is not present in the request context, the values do not
			// match and the condition is false."
			if all := strings.HasPrefix(name, forAll); all && matched < len(got) || !all && matched == 0 {
				return false
			}
		}
	}
	return true
}
