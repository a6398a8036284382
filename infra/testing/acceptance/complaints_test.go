package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestComplaintScript: the last error or warning counts, whatever follows it in the log.
func TestComplaintScript(t *testing.T) {
	log := filepath.Join(t.TempDir(), "log")
	lines := `{"time":"1","level":"ERROR","msg":"request","error":"first","took":1}
{"time":"2","level":"WARN","msg":"job","status":503,"error":"create \"x\": not authorized","_aws":{"a":"b"}}
{"time":"3","level":"INFO","msg":"request","error":"of a client"}
{"time":"4","level":"ERROR","msg":"without a reason"}
`
	if err := os.WriteFile(log, []byte(lines), 0o644); err != nil {
		t.Fatal(err)
	}
	script := strings.ReplaceAll(complaintScript, "/var/log/imagery/imagery.log", log)
	out, err := exec.Command("/bin/sh", "-c", script).CombinedOutput()
	if want := `create \"x\": not authorized` + "\n"; string(out) != want || err != nil {
		t.Errorf("%q, %v, want %q", out, err, want)
	}
	_ = os.Remove(log) // a boot that has not come so far
	if out, err := exec.Command("/bin/sh", "-c", script).CombinedOutput(); len(out) > 0 || err != nil {
		t.Errorf("without a log: %q, %v", out, err)
	}
}

// TestComplaints: each running instance of the stack is asked, and one that says nothing is left out.
func TestComplaints(t *testing.T) {
	asked := ""
	at := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch target := r.Header.Get("X-Amz-Target"); {
		case target == "":
			_ = r.ParseForm() // what is missing is not found below
			for n := 1; n <= 3; n++ {
				asked += r.Form.Get(fmt.Sprintf("Filter.%d.Name", n)) + "=" + r.Form.Get(fmt.Sprintf("Filter.%d.Value.1", n)) + " "
			}
			fmt.Fprint(w, `<Response><reservationSet><item><instancesSet><item><instanceId>i-a</instanceId></item><item>`+
				`<instanceId>i-b</instanceId></item></instancesSet></item></reservationSet></Response>`)
		case strings.HasSuffix(target, "SendCommand"):
			fmt.Fprint(w, `{"Command":{"CommandId":"c"}}`)
		default:
			body := make([]byte, 200)
			n, _ := r.Body.Read(body)
			said := map[bool]string{true: "denied", false: ""}[strings.Contains(string(body[:n]), "i-b")]
			fmt.Fprintf(w, `{"Status":"Success","StandardOutputContent":%q}`, said+"\n")
		}
	}))
	defer at.Close()
	for on, want := range map[string]string{"true": "\ni-b logged: denied", "false": ""} {
		of := &T{test: &test{out: t.Output(), begun: time.Now(), side: side{factor: 1, settings: [][2]string{{ssmKey, on}}},
			aws: apiOf(t, nil)}}
		of.stack, of.aws.BaseEndpoint = "org/imagery/dev", &at.URL
		if got := of.complaints(t.Context(), of); got != want {
			t.Errorf("%s: %q, want %q", on, got, want)
		}
	}
	if want := "tag:project=imagery tag:stack=dev instance-state-name=running "; asked != want {
		t.Errorf("asked for %q, want %q", asked, want)
	}
}
