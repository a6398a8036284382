package main

import (
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"

	"imagery/infra/network"
)

// text returns a reader that sets a string field. As with all readers, the caller puts key and value before its error.
func text[C any](field func(*C) *string) func(*C, string) error {
	return func(c *C, v string) error { *field(c) = v; return nil }
}

func choice[C any](field func(*C) *string, options ...string) func(*C, string) error {
	return func(c *C, v string) error {
		if !slices.Contains(options, v) {
			return fmt.Errorf("is not one of %s", strings.Join(options, ", "))
		}
		*field(c) = v
		return nil
	}
}

func boolean(field func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) (err error) {
		if *field(c), err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("is not true or false")
		}
		return nil
	}
}

// integer returns a reader of a whole number from least to most. Every number has an upper bound, since a typing error
// in a count of instances costs money.
func integer[C any](field func(*C) *int, least, most int) func(*C, string) error {
	return func(c *C, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("is not a whole number from %d to %d", least, most)
		}
		*field(c) = n
		return nil
	}
}

// list returns a reader of "a,b" or of the JSON list that `pulumi config set --path` writes.
func list(field func(*Config) *[]string) func(*Config, string) error {
	return func(c *Config, v string) error {
		var items []string
		if strings.HasPrefix(v, "[") {
			if err := json.Unmarshal([]byte(v), &items); err != nil {
				return fmt.Errorf("is not a list of strings")
			}
		} else {
			items = strings.Split(v, ",")
		}
		for i := range items {
			items[i] = strings.TrimSpace(items[i])
		}
		*field(c) = items
		return nil
	}
}

// readEgress leaves the field empty when the value is wrong, so that no rule reports it a second time.
func readEgress(c *Config, v string) error {
	c.Egress = network.Egress(v)
	if !slices.Contains(network.Modes, c.Egress) {
		c.Egress = ""
		return fmt.Errorf("is not one of %v", network.Modes)
	}
	return nil
}

func readVPC(c *Config, v string) error {
	p, err := netip.ParsePrefix(v)
	if err != nil {
		return fmt.Errorf("is not an address range such as 10.42.0.0/16")
	}
	c.VPCCIDR = p
	return network.CheckCIDR(p)
}

// readTags reads "a=b,c=d" and the JSON object that `pulumi config set --path` writes.
func readTags(c *Config, v string) error {
	tags := map[string]string{}
	if strings.HasPrefix(v, "{") {
		if err := object(v, &tags); err != nil {
			return err
		}
		c.Tags = tags
		return nil
	}
	for _, item := range strings.Split(v, ",") {
		name, value, found := strings.Cut(item, "=")
		name = strings.TrimSpace(name)
		if _, twice := tags[name]; twice || !found {
			return fmt.Errorf("is not a list such as team=photos,cost-centre=4711 with different names")
		}
		tags[name] = strings.TrimSpace(value)
	}
	c.Tags = tags
	return nil
}
