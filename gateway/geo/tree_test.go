package geo

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/exitgate/exitgate/gateway/geo/geotest"
)

func TestTree_findsWhatTheReaderFinds(t *testing.T) {
	random := rand.New(rand.NewPCG(4, 51))
	anyIPv4 := func() netip.Addr {
		var a [4]byte
		binary.BigEndian.PutUint32(a[:], random.Uint32())
		return netip.AddrFrom4(a)
	}
	anyIPv6 := func() netip.Addr { // of the space that is in use
		var a [16]byte
		binary.BigEndian.PutUint64(a[:], random.Uint64()>>3|1<<61)
		binary.BigEndian.PutUint64(a[8:], random.Uint64())
		return netip.AddrFrom16(a)
	}
	for _, recordSize := range []int{24, 28, 32} {
		for _, options := range [][]geotest.Option{{geotest.RecordSize(recordSize)}, {geotest.RecordSize(recordSize), geotest.IPv4Only()}} {
			t.Run(fmt.Sprintf("records of %d bits, IPv4 only: %t", recordSize, len(options) > 1), func(t *testing.T) {
				networks := geotest.Networks{"9.0.0.0/8": "FR", "11.1.2.3/32": "DE", "12.13.0.0/16": "IE"}
				addresses := []netip.Addr{}
				for range 300 {
					network := netip.PrefixFrom(anyIPv4(), 1+random.IntN(32)).Masked()
					if network.Bits() >= 6 {
						networks[network.String()] = []string{"FR", "DE", "US"}[random.IntN(3)]
						addresses = append(addresses, network.Addr(), network.Addr().Prev())
					}
				}
				for range 20_000 {
					addresses = append(addresses, anyIPv4())
				}
				if ipv6 := len(options) == 1; ipv6 {
					for range 300 {
						network := netip.PrefixFrom(anyIPv6(), 8+random.IntN(121)).Masked()
						if network.Bits() > 16 { // or it may hold what has no place of its own
							networks[network.String()] = []string{"FR", "DE", "US"}[random.IntN(3)]
						}
						addresses = append(addresses, network.Addr(), network.Addr().Prev(), anyIPv6())
					}
				}
				content := geotest.Country(t, networks, options...)
				reader, err := maxminddb.OpenBytes(content)
				if err != nil {
					t.Fatal(err)
				}
				m := reader.Metadata
				tree := newTree(content, m.NodeCount, m.RecordSize, m.IPVersion)
				for _, addr := range addresses {
					if !addr.IsValid() {
						continue // before 0.0.0.0
					}
					record := reader.Lookup(addr)
					offset, found := tree.offset(addr)
					if found != record.Found() || found && uintptr(offset) != record.Offset() {
						t.Fatalf("%s: %d, %t; the reader finds %d, %t", addr, offset, found, record.Offset(), record.Found())
					}
				}
			})
		}
	}
}
