package nspawn

import (
	"testing"
	"time"
)

// The balancer's own 5xx are those of the frontend that no server sent.
func TestTraffic(t *testing.T) {
	got, err := parseTraffic(`# pxname,svname,stot,hrsp_1xx,hrsp_2xx,hrsp_3xx,hrsp_4xx,hrsp_5xx,req_tot,rtime,
door,FRONTEND,9,0,80,0,3,17,100,,
servers,m1,50,0,40,0,1,5,,7,
servers,m2,45,0,40,0,2,2,,9,
servers,BACKEND,99,0,80,0,3,17,,8,
open,m1,0,0,0,0,0,0,,,
open,BACKEND,0,0,0,0,0,0,,,
`)
	want := Traffic{Requests: 100, Answers: [6]int{2: 80, 4: 3, 5: 17}, TargetRequests: 95,
		TargetAnswers: [6]int{2: 80, 4: 3, 5: 7}, ResponseTime: 8 * time.Millisecond}
	if err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if got, err := parseTraffic(""); err == nil {
		t.Errorf("no statistics are %+v", got)
	}
	if got, err := (&Host{}).Traffic(); err != nil || got != (Traffic{}) {
		t.Errorf("before the balancer was started: %+v, %v", got, err)
	}
}
