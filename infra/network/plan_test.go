package network

import (
	"net/netip"
	"testing"
)

// Blocks of a network never overlap and never leave it, whatever its size.
func TestBlocksPartitionTheNetwork(t *testing.T) {
	for _, cidr := range []string{"10.42.0.0/16", "192.168.0.0/16", "172.16.4.0/22", "10.0.0.0/19"} {
		whole := netip.MustParsePrefix(cidr)
		if err := CheckCIDR(whole); err != nil {
			t.Fatal(err)
		}
		var blocks []netip.Prefix
		for i := range 1 << blockBits {
			b := block(whole, i)
			if !whole.Contains(b.Addr()) || b.Bits() != whole.Bits()+blockBits || b != b.Masked() {
				t.Errorf("%s: block %d is %s", cidr, i, b)
			}
			for _, other := range blocks {
				if b.Overlaps(other) {
					t.Errorf("%s: %s overlaps %s", cidr, b, other)
				}
			}
			blocks = append(blocks, b)
		}
	}
}

// Address ranges of deployed subnets: a change would replace them.
func TestBlocksStay(t *testing.T) {
	whole := netip.MustParsePrefix("10.42.0.0/16")
	for n, want := range map[int]string{0: "10.42.0.0/20", 2: "10.42.32.0/20", privateBlock: "10.42.128.0/20",
		privateBlock + 2: "10.42.160.0/20"} {
		if got := block(whole, n).String(); got != want {
			t.Errorf("block %d is %s, was %s", n, got, want)
		}
	}
}
