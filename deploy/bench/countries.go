package main

import (
	"bufio"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"

	"github.com/maxmind/mmdbwriter"
	"github.com/maxmind/mmdbwriter/mmdbtype"
	"go4.org/netipx"
)

// Whom the load pretends to come from.
const (
	servedCountry, servedClient   = "DE", "5.9.0.1"
	refusedCountry, refusedClient = "FR", "2.2.0.1"
)

// writeCountries writes the same networks as a GeoIP2-Country database and as
// an HAProxy map: the two clients' own and enough others that a look-up has a
// tree to descend.
func (f *fixture) writeCountries() error {
	f.Database, f.Map = f.path("countries.mmdb"), f.path("countries.map")
	tree, err := mmdbwriter.New(mmdbwriter.Options{DatabaseType: "GeoIP2-Country", Languages: []string{"en"}})
	if err != nil {
		return err
	}
	mapFile, err := os.Create(f.Map)
	if err != nil {
		return err
	}
	defer mapFile.Close()
	lines := bufio.NewWriter(mapFile)
	for network, country := range networks() {
		record := mmdbtype.Map{"iso_code": mmdbtype.String(country)}
		err := tree.Insert(netipx.PrefixIPNet(network), mmdbtype.Map{"country": record, "registered_country": record})
		if err != nil {
			return err
		}
		fmt.Fprintln(lines, network, country)
	}
	if err := lines.Flush(); err != nil {
		return err
	}

	database, err := os.Create(f.Database)
	if err != nil {
		return err
	}
	defer database.Close()
	if _, err := tree.WriteTo(database); err != nil {
		return err
	}
	return database.Close()
}

func networks() map[netip.Prefix]string {
	found := map[netip.Prefix]string{
		netip.MustParsePrefix("5.9.0.0/16"): servedCountry,
		netip.MustParsePrefix("2.2.0.0/16"): refusedCountry,
	}
	countries := []string{"AT", "BE", "BR", "CA", "CH", "CN", "ES", "GB", "IN", "IT", "JP", "NL", "PL", "SE", "US", "ZA"}
	random := rand.New(rand.NewPCG(451, 7725)) // the same in every run
	for len(found) < 20_000 {
		// 11 to 99: clear of the two clients' networks and of reserved ones
		a := netip.AddrFrom4([4]byte{byte(11 + random.IntN(89)), byte(random.IntN(256)), byte(random.IntN(256)), 0})
		found[netip.PrefixFrom(a, 24)] = countries[random.IntN(len(countries))]
	}
	return found
}
