package geo_test

import (
	"cmp"
	"encoding/csv"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/policy"
)

func TestOpen_withoutFilesUsesTheEmbeddedDatabase(t *testing.T) {
	databases := open(t, geo.Options{}).Databases()
	if len(databases) != 1 || databases[0].Path != geo.Embedded {
		t.Errorf("got %+v", databases)
	}
}

func TestEmbedded_buildAndNotice(t *testing.T) {
	content, err := geo.EmbeddedContent()
	if err != nil {
		t.Fatal(err)
	}
	reader, err := maxminddb.OpenBytes(content)
	if err != nil {
		t.Fatal(err)
	}
	build := geo.EmbeddedBuild()
	if got := reader.Metadata.BuildTime(); !got.Equal(build) {
		t.Errorf("built %s by the database, %s by its gzip header", got, build)
	}
	if version := "2.3." + build.Format("20060102"); !strings.Contains(reader.Metadata.Description["en"], version) {
		t.Errorf("not %s: %s", version, reader.Metadata.Description)
	}
	notice, err := os.ReadFile("NOTICE.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, needed := range []string{build.Format("2 January 2006"), "CC0", "Creative Commons Attribution 4.0", "Number Resource Organization", "https://www.nro.net/"} {
		if !strings.Contains(string(notice), needed) {
			t.Errorf("the notice lacks %q", needed)
		}
	}
	if err := reader.Verify(); err != nil {
		t.Error(err)
	}
}

// Well-known DNS servers.
func TestEmbedded_wellKnownAddresses(t *testing.T) {
	locator := open(t, geo.Options{})
	for address, want := range map[string]policy.Place{
		"8.8.8.8":              in("US"),
		"2001:4860:4860::8888": in("US"),
		"194.2.0.20":           in("FR"),
		"2a01:e0a::1":          in("FR"),
		"217.237.150.51":       in("DE"),
		"2003::1":              in("DE"),
		"77.88.8.8":            in("RU"),
		"114.114.114.114":      in("CN"),
		"192.0.2.1":            unlocated,
		"10.0.0.1":             private,
	} {
		if got := locator.Locate(addr(address)); got != want {
			t.Errorf("%s: got %+v, want %+v", address, got, want)
		}
	}
}

// testdata/rows.csv has some of the rows that the database was made of.
func TestEmbedded_sampleOfItsSource(t *testing.T) {
	locator := open(t, geo.Options{})
	for _, row := range readRows(t, filepath.Join("testdata", "rows.csv")) {
		for _, address := range []netip.Addr{row.first, row.last} {
			if got := locator.Locate(address); got != in(row.country) {
				t.Errorf("%s: got %+v, want %s", address, got, row.country)
			}
		}
	}
}

// The generator's test: run it with the folder that it keeps by -keep in
// EXITGATE_GEO_CSV.
func TestEmbedded_wholeSource(t *testing.T) {
	dir := os.Getenv("EXITGATE_GEO_CSV")
	if dir == "" {
		t.Skip("EXITGATE_GEO_CSV is empty: run `go -C generate run . -version … -keep DIR`, then set it to DIR")
	}
	locator := open(t, geo.Options{})
	random := rand.New(rand.NewPCG(1, 2))
	compared := 0
	for _, family := range []string{"ipv4", "ipv6"} {
		source := newNaive(readRows(t, filepath.Join(dir, "package", "geo-whois-asn-country-"+family+".csv")))
		compare := func(address netip.Addr) {
			compared++
			want := policy.Place{Country: source.country(address)}
			if slices.ContainsFunc(privateBlocks, func(block netip.Prefix) bool { return block.Contains(address) }) {
				want = private // the source has some of them in Australia
			}
			if got := locator.Locate(address); got != want {
				t.Errorf("%s: got %+v, want %+v", address, got, want)
			}
		}
		for range 25_000 {
			row := source.rows[random.IntN(len(source.rows))]
			for _, address := range []netip.Addr{row.first, row.last, row.first.Prev(), row.last.Next(), within(random, row)} {
				if address.IsValid() {
					compare(address)
				}
			}
		}
	}
	if compared < 200_000 {
		t.Errorf("only %d addresses compared", compared)
	}
}

var privateBlocks = []netip.Prefix{
	netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("172.16.0.0/12"), netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("fc00::/7"), netip.MustParsePrefix("fe80::/10"),
}

type row struct {
	first, last netip.Addr
	country     policy.Code
}

func readRows(t *testing.T, name string) []row {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	records, err := csv.NewReader(f).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	var rows []row
	for _, r := range records {
		if r[2] != "AN" { // withdrawn from ISO 3166-1
			rows = append(rows, row{addr(r[0]), addr(r[1]), policy.Code(r[2])})
		}
	}
	return rows
}

// within returns an address of a row: some of its bits are those of the first,
// the others those of the last.
func within(random *rand.Rand, r row) netip.Addr {
	first, last := r.first.AsSlice(), r.last.AsSlice()
	for i := range first {
		if first[i] != last[i] {
			for ; i < len(first); i++ {
				first[i] = byte(random.Uint32())
			}
		}
	}
	address, _ := netip.AddrFromSlice(first)
	if address.Less(r.first) || r.last.Less(address) {
		return r.first
	}
	return address
}

// A naive source answers from the rows as they are: the last that contains an
// address is the one that holds.
type naive struct {
	rows  []row
	reach []netip.Addr // the last address of all rows up to here
}

func newNaive(rows []row) naive {
	n := naive{rows: rows}
	var reach netip.Addr
	for _, r := range rows {
		if !reach.IsValid() || reach.Less(r.last) {
			reach = r.last
		}
		n.reach = append(n.reach, reach)
	}
	return n
}

func (n naive) country(address netip.Addr) policy.Code {
	i, _ := slices.BinarySearchFunc(n.rows, address, func(r row, address netip.Addr) int {
		return cmp.Or(r.first.Compare(address), -1)
	})
	for i--; i >= 0 && !n.reach[i].Less(address); i-- {
		if !n.rows[i].last.Less(address) {
			return n.rows[i].country
		}
	}
	return ""
}
