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

// Readers turn the text of a key into its field. Their errors finish the sentence that begins with key and value.

func text(at func(*Config) *string) func(*Config, string) error {
	return func(c *Config, v string) error { *at(c) = v; return nil }
}

func choice(at func(*Config) *string, options ...string) func(*Config, string) error {
	return func(c *Config, v string) error {
		if !slices.Contains(options, v) {
			return fmt.Errorf("is not one of %s", strings.Join(options, ", "))
		}
		*at(c) = v
		return nil
	}
}

func boolean(at func(*Config) *bool) func(*Config, string) error {
	return func(c *Config, v string) (err error) {
		if *at(c), err = strconv.ParseBool(v); err != nil {
			return fmt.Errorf("is not true or false")
		}
		return nil
	}
}

// integer bounds every count: a typing error of three digits is money.
func integer(at func(*Config) *int, least, most int) func(*Config, string) error {
	return func(c *Config, v string) error {
		n, err := strconv.Atoi(v)
		if err != nil || n < least || n > most {
			return fmt.Errorf("is not a whole number from %d to %d", least, most)
		}
		*at(c) = n
		return nil
	}
}

// list reads "a,b" and the JSON that `pulumi config set --path` writes.
func list(at func(*Config) *[]string) func(*Config, string) error {
	return func(c *Config, v string) error {
		var items []string
		if strings.HasPrefix(v, "[") {
			if err := json.Unmarshal([]byte(v), &items); err != nil {
				return fmt.Errorf("is not a list of texts")
			}
		} else {
			items = strings.Split(v, ",")
		}
		for i := range items {
			items[i] = strings.TrimSpace(items[i])
		}
		*at(c) = items
		return nil
	}
}

// readEgress leaves the field empty when the value is wrong, so that no rule speaks about it a second time.
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
