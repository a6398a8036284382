package main

import (
	"encoding/json"
	"fmt"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
)

// rehearsalVariable holds the facts of a rehearsal as JSON. Without it the stack is on AWS.
const rehearsalVariable = "IMAGERY_REHEARSAL"

// facts describe a rehearsal.
type facts struct {
	Factor   int         `json:"factor"`   // divides AWS's waiting times
	Settings [][2]string `json:"settings"` // of the stack, which differ from those of a stack on AWS
	Emulator string      `json:"emulator"` // name and version
	Mail     string      `json:"mail"`     // file that gets the mails of alarms; empty: none
	Late     float64     `json:"late"`     // seconds until a policy counts
}

// side is all that differs between a rehearsal and AWS. Scenes do not ask on which side they run; they ask for one of
// these.
type side struct {
	name     string
	where    string        // follows the name of the stack
	factor   int           // divides AWS's waiting times
	firstUp  time.Duration // the most that the first `pulumi up` may take
	settings [][2]string
	untold   map[string]string // kinds of resources that cannot be compared at the end, with the reason
	ask      bool              // before resources are made
	account  bool              // questions about AWS have answers here
	late     time.Duration     // until a policy counts; 0: unknown
	emulator string            // for the report; empty: AWS
	mail     string            // file that gets mails; empty: mails arrive at a person
	// caller are the credentials of the program's own calls; nil: those of the environment, as for pulumi.
	caller aws.CredentialsProvider
}

// administrator is the access key id of a caller whose rights a rehearsal does not check.
const administrator = "acceptance"

// hourlyUSD is about what a stack of the default profile costs in an hour, at twice its smallest size.
const hourlyUSD = 0.25

// sideOf returns the side on which the program runs.
func sideOf(getenv func(string) string) (side, error) {
	text := getenv(rehearsalVariable)
	if text == "" {
		return side{name: "AWS", where: "on AWS", factor: 1, firstUp: 20 * time.Minute, ask: true, account: true,
			// Scenes run commands on instances, and the last one destroys even a stack of profile prod.
			settings: [][2]string{{"imagery:ssm", "true"}, {"imagery:protectData", "false"}}}, nil
	}
	var f facts
	if err := json.Unmarshal([]byte(text), &f); err != nil || f.Factor < 1 {
		return side{}, fmt.Errorf("%s does not describe a rehearsal: %q", rehearsalVariable, text)
	}
	return side{name: "rehearsal", where: "in a rehearsal", factor: f.Factor, firstUp: 5 * time.Minute,
		settings: f.Settings, emulator: f.Emulator, mail: f.Mail,
		untold: map[string]string{"network interfaces": "moto keeps those of terminated instances"},
		late:   time.Duration(f.Late * float64(time.Second)),
		caller: credentials.NewStaticCredentialsProvider(administrator, administrator, "")}, nil
}

// scaled returns a time in which AWS does something, as this side needs it: divided by the factor, and never less than
// machines need to boot.
func (s side) scaled(d time.Duration) time.Duration {
	if s.factor == 1 {
		return d
	}
	return d/time.Duration(s.factor) + time.Minute
}
