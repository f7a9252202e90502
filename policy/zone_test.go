package policy

import (
	"testing"

	"github.com/exitgate/exitgate/policy/iso3166"
)

func TestNearlyAllCountriesHaveAZone(t *testing.T) {
	without := 0
	for country := range iso3166.Countries() {
		if ZoneOf(Code(country.Code)) == "" {
			without++
		}
	}
	if without > 5 { // uninhabited ones
		t.Errorf("%d countries have no zone", without)
	}
}
