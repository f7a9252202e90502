package geo_test

import (
	"net/netip"
	"testing"

	"github.com/exitgate/exitgate/gateway/geo/geotest"
	"github.com/exitgate/exitgate/policy"
)

// The database has a country for every address there is: so what is private
// or unlocated is so because of the address.
func TestLocate_specialAddresses(t *testing.T) {
	locator := openFiles(t, geotest.Country(t, geotest.Networks{
		"0.0.0.0/0":       "GB",
		"81.2.69.0/24":    "FR",
		"2.125.160.0/24":  "DE", // the server of the Teredo addresses below
		"1000::/4":        "IT",
		"2000::/3":        "ES",
		"2001::/32":       "PT", // what the database itself says of Teredo
		"2002::/16":       "PT", // and of 6to4
		"64:ff9b::/32":    "PT", // and of NAT64
		"8000::/1":        "IT",
		"2a01:cb00::/24":  "FR",
		"::ffff:0:0:0/96": "IT",
	}))
	for _, test := range []struct {
		name, address string
		want          policy.Place
	}{
		{"IPv4", "81.2.69.142", in("FR")},
		{"IPv6", "2a01:cb00::1", in("FR")},
		{"IPv6 with a zone", "2a01:cb00::1%eth0", in("FR")},
		{"IPv4 within IPv6 is the IPv4 address", "::ffff:81.2.69.142", in("FR")},
		{"even with a zone", "::ffff:81.2.69.142%eth0", in("FR")},

		{"RFC 1918: 10/8", "10.1.2.3", private},
		{"RFC 1918: 172.16/12 from its first", "172.16.0.0", private},
		{"RFC 1918: 172.16/12 to its last", "172.31.255.255", private},
		{"172.32 is public", "172.32.0.0", in("GB")},
		{"RFC 1918: 192.168/16", "192.168.0.1", private},
		{"loopback", "127.0.0.1", private},
		{"all of 127/8 is loopback", "127.255.0.1", private},
		{"link-local", "169.254.169.254", private},
		{"shared addresses from their first", "100.64.0.0", private},
		{"shared addresses to their last", "100.127.255.255", private},
		{"100.63 is public", "100.63.255.255", in("GB")},
		{"100.128 is public", "100.128.0.0", in("GB")},
		{"a private address within IPv6 is the client's own", "::ffff:192.168.0.1", private},
		{"IPv6 loopback", "::1", private},
		{"unique local, fc00", "fc00::1", private},
		{"unique local, fd00", "fdff:ffff::1", private},
		{"IPv6 link-local", "fe80::1", private},
		{"IPv6 link-local with a zone", "fe80::1%eth0", private},

		{"documentation addresses are looked up", "192.0.2.1", in("GB")},
		{"benchmarking addresses are looked up", "198.18.0.1", in("GB")},
		{"IPv6 documentation addresses are looked up", "2001:db8::1", in("ES")},
		{"site-local addresses are no longer private", "fec0::1", in("IT")},
		{"multicast is nobody's", "ff02::1", in("IT")},

		{"6to4: the network's IPv4 address", "2002:5102:458e::1", in("FR")},
		{"NAT64: the last 32 bits", "64:ff9b::81.2.69.142", in("FR")},
		{"NAT64 of local use: the last 32 bits", "64:ff9b:1:fffe::81.2.69.142", in("FR")},
		{"beside NAT64's prefixes is nothing special", "64:ff9b:2::81.2.69.142", in("PT")},
		{"Teredo: the client, not the server", "2001:0:27d:a001:0:0:aefd:ba71", in("FR")},

		{"6to4 can't make private", "2002:c0a8:0001::1", unlocated},
		{"6to4 can't make loopback", "2002:7f00:0001::1", unlocated},
		{"6to4 can't make shared", "2002:6440:0001::1", unlocated},
		{"NAT64 can't make private", "64:ff9b::10.0.0.1", unlocated},
		{"NAT64 of local use can't make private", "64:ff9b:1::10.0.0.1", unlocated},
		{"Teredo can't make private", "2001:0:27d:a001:0:0:3f57:fffe", unlocated},
		{"nor can it within 6to4", "2002:a9fe:a9fe::", unlocated},

		{"IPv4-compatible addresses aren't IPv4", "::81.2.69.142", unlocated},
		{"nor private", "::192.168.0.1", unlocated},
		{"the unspecified address is nowhere", "::", unlocated},
		{"what comes after ::/96 is looked up", "::ffff:0:5102:458e", in("IT")},
	} {
		t.Run(test.name, func(t *testing.T) {
			if got := locator.Locate(addr(test.address)); got != test.want {
				t.Errorf("%s: got %+v, want %+v", test.address, got, test.want)
			}
			if got := locator.Describe(addr(test.address)).Place; got != test.want {
				t.Errorf("%s: described as %+v, want %+v", test.address, got, test.want)
			}
		})
	}
	if got := locator.Locate(netip.Addr{}); got != unlocated {
		t.Errorf("no address: got %+v, want unlocated", got)
	}
}

func TestLocate_databaseOfIPv4Only(t *testing.T) {
	locator := openFiles(t, geotest.Country(t, geotest.Networks{"0.0.0.0/0": "GB"}, geotest.IPv4Only()))
	for address, want := range map[string]policy.Place{
		"81.2.69.142":       in("GB"),
		"2002:5102:458e::1": in("GB"),
		"2a01:cb00::1":      unlocated,
	} {
		if got := locator.Locate(addr(address)); got != want {
			t.Errorf("%s: got %+v, want %+v", address, got, want)
		}
	}
}
