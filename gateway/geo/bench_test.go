package geo_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
)

func BenchmarkLocate(b *testing.B) {
	embedded := open(b, geo.Options{})
	const records = 100_000
	operator := openFiles(b, largeCity(b, records), anonymous(b, 2_000),
		geotest.ASN(b, network{"20.0.0.0/8": "AS64500 Example"}))
	for _, bench := range []struct {
		name      string
		locator   *geo.Locator
		addresses []netip.Addr
	}{
		{"embedded/one address", embedded, []netip.Addr{addr(someone)}},
		{"embedded/IPv4", embedded, known(embedded, randomIPv4)},
		{"embedded/IPv6", embedded, known(embedded, randomIPv6)},
		{"embedded/private", embedded, []netip.Addr{addr("10.1.2.3")}},
		{"City of 100,000 records, Anonymous-IP, ASN", operator, known(operator, randomIn(records))},
	} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				bench.locator.Locate(bench.addresses[i])
				if i++; i == len(bench.addresses) {
					i = 0
				}
			}
		})
	}
}

func BenchmarkOpen(b *testing.B) {
	large := geotest.File(b, largeCity(b, 100_000))
	for name, files := range map[string][]string{
		"embedded":                nil,
		"City of 100,000 records": {large},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				open(b, geo.Options{Files: files})
			}
		})
	}
}

// The look-up must not allocate, whatever it is asked.
func TestLocate_doesNotAllocate(t *testing.T) {
	ipv4Only := geotest.Country(t, network{"81.2.69.0/24": "GB"}, geotest.IPv4Only())
	locator := openFiles(t, ipv4Only, largeCity(t, 100), anonymous(t, 100), geotest.ASN(t, network{"20.0.0.0/8": "AS1 One"}))
	for _, address := range []string{
		someone, "20.0.1.1", "9.9.9.9", "10.0.0.1", "2a01:cb00::1", "fe80::1%eth0", "2002:5102:458e::1",
		"2001:0:27d:a001:0:0:aefd:ba71", "64:ff9b::10.0.0.1", "::ffff:20.0.1.1", "::",
	} {
		asked := addr(address)
		if allocs := testing.AllocsPerRun(100, func() { locator.Locate(asked) }); allocs != 0 {
			t.Errorf("%s: %v allocations", address, allocs)
		}
	}
}

// anonymous is an Anonymous-IP database of n networks.
func anonymous(t testing.TB, n int) []byte {
	networks := network{}
	for i := range n {
		networks[fmt.Sprintf("20.%d.%d.128/25", i>>8, i%256)] = "anonymous anonymous_vpn"
	}
	return geotest.AnonymousIP(t, networks)
}

// known returns addresses that a locator finds, too many for the nearest cache.
func known(locator *geo.Locator, draw func(*rand.Rand) netip.Addr) []netip.Addr {
	random := rand.New(rand.NewPCG(1, 2))
	var addresses []netip.Addr
	for len(addresses) < 1<<16 {
		if address := draw(random); locator.Locate(address).Country != "" {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

func randomIPv4(random *rand.Rand) netip.Addr {
	n := random.Uint32()
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

func randomIPv6(random *rand.Rand) netip.Addr {
	a := [16]byte{0x2a, byte(random.Uint32() % 16)}
	for i := 2; i < len(a); i++ {
		a[i] = byte(random.Uint32())
	}
	return netip.AddrFrom16(a)
}

// randomIn draws addresses of a largeCity of n records.
func randomIn(n int) func(*rand.Rand) netip.Addr {
	return func(random *rand.Rand) netip.Addr {
		i := random.IntN(n)
		return netip.AddrFrom4([4]byte{byte(20 + i>>16), byte(i >> 8), byte(i), byte(random.Uint32())})
	}
}
