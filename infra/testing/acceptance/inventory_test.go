package main

import "testing"

func TestLeft(t *testing.T) {
	before := inventory{"VPCs": {"default"}, "tables": {"other"}, "roles": nil}
	now := inventory{"VPCs": {"default", "vpc-1"}, "tables": {}, "roles": {"a", "b"}}
	if got := now.left(before).String(); got != "VPCs: vpc-1; roles: a, b" {
		t.Error(got)
	}
	if got := before.left(before); len(got) != 0 {
		t.Errorf("%v", got)
	}
}
