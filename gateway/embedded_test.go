package gateway_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/oschwald/geoip2-golang/v2"
	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// The policy of this test, and below what it means, written without any of the
// code that is tested.
const expectedPolicy = `
version: 1
groups: {far: [NZ, AU, FJ]}
jurisdictions:
  FR: {phase: withdrawn, territories: true}
  GP: open
  EU: closed-to-new
  IE: open
  US-MS: withdrawn
  CN: wind-down
  far: announced
  AU: withdrawn
  unlocated: wind-down
  private: announced
`

func expectedPhase(country string, private bool) string {
	in := func(list string) bool { return slices.Contains(strings.Fields(list), country) }
	switch {
	case private:
		return "announced"
	case country == "":
		return "wind-down"
	case country == "GP" || country == "IE":
		return "open"
	case country == "FR" || in("BL GF MF MQ NC PF PM RE TF WF YT"):
		return "withdrawn"
	case country == "AU":
		return "withdrawn"
	case country == "CN":
		return "wind-down"
	case in("NZ FJ"):
		return "announced"
	case country == "AX": // Åland is Finland's, and in the Union
		return "closed-to-new"
	case in("AT BE BG CY CZ DE DK EE ES FI GR HR HU IT LT LU LV MT NL PL PT RO SE SI SK"):
		return "closed-to-new"
	}
	return "open"
}

func TestEmbeddedDatabase_decisionsMatchASimpleImplementation(t *testing.T) {
	content, err := geo.EmbeddedContent()
	if err != nil {
		t.Fatal(err)
	}
	tree, err := maxminddb.OpenBytes(content)
	if err != nil {
		t.Fatal(err)
	}
	naive, err := geoip2.OpenBytes(content)
	if err != nil {
		t.Fatal(err)
	}
	locator, err := geo.Open(geo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := document.Parse("policy.yaml", []byte(expectedPolicy))
	if err != nil {
		t.Fatal(err)
	}
	snapshot := policy.Compile(p, nil, time.Now())
	class := snapshot.Classify("GET", host, "/").Class

	addresses := sample(t, tree, 200_000)
	phases := map[string]int{}
	wrong := 0
	for _, address := range addresses {
		record, err := naive.Country(address)
		if err != nil {
			t.Fatal(err)
		}
		private := address.IsPrivate() || address.IsLoopback() || address.IsLinkLocalUnicast() || netip.MustParsePrefix("100.64.0.0/10").Contains(address)
		want := expectedPhase(record.Country.ISOCode, private)
		d := snapshot.Decide(locator.Locate(address), class)
		phases[want]++
		if got := d.Phase.String(); got != want {
			if wrong++; wrong < 10 {
				t.Errorf("%s is in %q: decided as %s by %s, want %s", address, record.Country.ISOCode, got, d.Entry, want)
			}
		}
	}
	t.Logf("%d addresses: %v", len(addresses), phases)
	if wrong > 0 {
		t.Errorf("%d of %d are decided otherwise", wrong, len(addresses))
	}
	if len(addresses) != 200_000 || len(phases) != 5 {
		t.Errorf("%d addresses in %d phases are too few", len(addresses), len(phases))
	}
}

// sample returns so many addresses, from all over the database: of each of its
// networks, and of the gaps between them, the first, the last and others.
func sample(t *testing.T, tree *maxminddb.Reader, count int) []netip.Addr {
	t.Helper()
	var networks []netip.Prefix
	for found := range tree.Networks(maxminddb.IncludeNetworksWithoutData()) {
		if err := found.Err(); err != nil {
			t.Fatal(err)
		}
		networks = append(networks, found.Prefix())
	}
	// Addresses of these carry another, which is looked up in their place.
	carriers := []netip.Prefix{
		netip.MustParsePrefix("2002::/16"), netip.MustParsePrefix("2001::/32"), netip.MustParsePrefix("64:ff9b::/96"),
		netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("::/96"), netip.MustParsePrefix("::ffff:0:0/96"),
	}
	const stride = 7919 // a prime: all over the database, not its beginning only
	addresses := make([]netip.Addr, 0, count)
	for i := 0; len(addresses) < count; i++ {
		network := networks[i*stride%len(networks)]
		address := within(network, uint32(i)*2654435761, i%3)
		if !slices.ContainsFunc(carriers, func(c netip.Prefix) bool { return c.Contains(address) || c.Contains(network.Addr()) }) {
			addresses = append(addresses, address)
		}
	}
	t.Logf("of %d networks", len(networks))
	return addresses
}

// within returns an address of a network: the first, the last or one whose
// last bits are those of seed.
func within(network netip.Prefix, seed uint32, which int) netip.Addr {
	bytes := network.Addr().AsSlice()
	for bit := network.Bits(); bit < len(bytes)*8; bit++ {
		set := which == 1 || which == 2 && seed>>(bit%32)&1 == 1
		if set {
			bytes[bit/8] |= 0x80 >> (bit % 8)
		}
	}
	address, _ := netip.AddrFromSlice(bytes)
	return address
}
