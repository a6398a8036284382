package main

import (
	"bytes"
	"net"
	"strings"
	"testing"

	"imagery/app/deploy/settings"
)

// TestGreeting: the greeting has the addresses, where the data is, and how to stop.
func TestGreeting(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	url := "http://" + l.Addr().String()
	for _, c := range []struct {
		s    settings.Settings
		want []string
	}{
		{settings.Settings{Data: "./photos"}, []string{url + "\n", url + "/_fleet\n", "./photos\n", "Ctrl-C"}},
		{settings.Settings{Table: "t-1", Bucket: "b-1"}, []string{url + "\n", "table t-1, bucket b-1\n", "Ctrl-C"}},
	} {
		var out bytes.Buffer
		greet(&out, l, c.s)
		for _, want := range c.want {
			if !strings.Contains(out.String(), want) {
				t.Errorf("no %q in the greeting:\n%s", want, out.String())
			}
		}
	}
}

// TestPrefixed: a line gets the name of the fleet in front, and the count is that of the caller's bytes.
func TestPrefixed(t *testing.T) {
	var out bytes.Buffer
	w := prefixed{&out, "fleet | "}
	if n, err := w.Write([]byte("started\n")); n != 8 || err != nil || out.String() != "fleet | started\n" {
		t.Errorf("wrote %d of 8 bytes, %v: %q", n, err, out.String())
	}
}
