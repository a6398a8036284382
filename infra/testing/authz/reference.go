package authz

import (
	_ "embed"
	"fmt"
	"strings"
	"sync"
)

// Row is a row of AWS's service authorization reference, which lists the actions of IAM.
type Row struct {
	// Types are the resource types on which AWS checks the action, Required those of them that it always checks. If there
	// is none, AWS checks the action on "*" only.
	Types, Required []string
	Dependents      []string // other actions that AWS may check; the list is not complete
	Source          string   // page
}

//go:embed iam-reference.txt
var referenceText string

// Reference returns the rows of the actions that the project uses. infra/testing/iamreference writes them.
var Reference = sync.OnceValue(func() map[string]Row {
	rows := map[string]Row{}
	for line := range strings.Lines(referenceText) {
		if strings.HasPrefix(line, "#") {
			continue
		}
		f := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		if len(f) != 5 || rows[f[0]].Source != "" || !strings.HasPrefix(f[4], "https://") {
			panic(fmt.Sprintf("iam-reference.txt: %q is no row, or the second of its action", line))
		}
		row := Row{Source: f[4]}
		if f[3] != "-" {
			row.Dependents = strings.Split(f[3], ",")
		}
		if f[2] != "-" {
			row.Types = strings.Split(f[2], ",")
		}
		for i, t := range row.Types {
			var required bool
			if row.Types[i], required = strings.CutSuffix(t, "*"); required {
				row.Required = append(row.Required, row.Types[i])
			}
		}
		rows[f[0]] = row
	}
	return rows
})

// Checked returns the resource types on which AWS checks an action: those that it always checks, or if there are none,
// all of which a call may name one.
func (r Row) Checked() []string {
	if len(r.Required) > 0 {
		return r.Required
	}
	return r.Types
}
