package geo_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/gateway/geo/geotest"
)

// Issue 10, A3: what a start verifies is quick, and finds all that the reader's own
// check finds, but for data that nothing leads to.
func TestOpen_refusesWhateverTheReaderFindsDamaged(t *testing.T) {
	networks := network{"81.2.69.0/24": "US-MS", "2.0.0.0/16": "FR-IDF FR-75C", "2a01:cb00::/24": "DE-BY"}
	for name, whole := range map[string][]byte{
		"24 bits": geotest.City(t, networks), "28 bits": geotest.City(t, networks, geotest.RecordSize(28)),
		"autonomous systems": geotest.IPinfoLite(t, network{"81.2.69.0/24": "GB AS1 One"}, geotest.IPv4Only(), geotest.RecordSize(32)),
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := geo.OpenContent(whole); err != nil {
				t.Fatal(err)
			}
			found := 0
			for i := range bytes.LastIndex(whole, []byte("\xab\xcd\xefMaxMind.com")) {
				for _, flipped := range []byte{0x01, 0x08, 0x20, 0x80, 0xff} {
					content := bytes.Clone(whole)
					content[i] ^= flipped
					reader, err := maxminddb.OpenBytes(content)
					if err == nil {
						err = reader.Verify()
					}
					if err == nil || strings.Contains(err.Error(), "that the search tree does not point to") {
						continue
					}
					found++
					if _, ours := geo.OpenContent(content); ours == nil {
						t.Errorf("byte %d, bits %02x: opened, but %v", i, flipped, err)
					}
				}
			}
			if found < 100 {
				t.Errorf("only %d were damaged", found)
			}
		})
	}
}
