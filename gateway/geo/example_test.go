package geo_test

import (
	"testing"

	"github.com/exitgate/exitgate/gateway/geo"
	"github.com/exitgate/exitgate/policy"
)

// In each country that the embedded database knows there is somebody.
func TestExample(t *testing.T) {
	l, err := geo.Open(geo.Options{})
	if err != nil {
		t.Fatal(err)
	}
	any := func(policy.Place) bool { return true }
	for _, code := range []policy.Code{"FR", "GF", "JP", "US", "VA", "AQ"} {
		addr, ok := l.Example(code, any)
		if !ok || l.Locate(addr).Country != code || !addr.Is4() {
			t.Errorf("in %s there is %v, which is in %v", code, addr, l.Locate(addr))
		}
	}
	for what, code := range map[string]policy.Code{"a part of a country": "US-MS", "who hides": policy.Anonymous} {
		wanted := func(place policy.Place) bool { return place.Subdivisions[0] == "US-MS" || place.Anonymous }
		if addr, ok := l.Example(code, wanted); ok {
			t.Errorf("%s is found at %v by a database of countries", what, addr)
		}
	}
}
