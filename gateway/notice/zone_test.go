package notice

import (
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// Issue 11, 7: midnight in Paris is a day earlier in UTC.
func TestLocalTime(t *testing.T) {
	midnight := time.Date(2026, 12, 1, 0, 0, 0, 0, time.FixedZone("", 3600))
	for _, test := range []struct {
		name string
		at   time.Time
		code policy.Code
		want string
	}{
		{"written in UTC, for France", midnight.UTC(), "FR", "2026-12-01"},
		{"written in UTC, for a part of it", midnight.UTC(), "FR-IDF", "2026-12-01"},
		{"by a clock of the machine, for France", midnight.In(time.Local), "FR", "2026-12-01"},
		{"written in UTC, for a group", midnight.UTC(), "EU", "2026-11-30"},
		{"written in UTC, for nowhere", midnight.UTC(), policy.Unlocated, "2026-11-30"},
		{"written for Paris, for a group", midnight, "EU", "2026-12-01"},
		{"written for Paris, for the United States", midnight, "US", "2026-12-01"},
		{"written in UTC, for the United States", midnight.UTC(), "US", "2026-11-30"},
		{"written in UTC, for New Zealand", midnight.UTC(), "NZ", "2026-12-01"},
	} {
		if got := localTime(test.at, test.code).Format(time.DateOnly); got != test.want {
			t.Errorf("%s: %s, want %s", test.name, got, test.want)
		}
	}
}

func TestNearlyAllCountriesHaveAZone(t *testing.T) {
	at := time.Date(2026, 7, 1, 12, 0, 0, 0, time.UTC)
	without := 0
	for country := range iso3166.Countries() {
		if localTime(at, policy.Code(country.Code)).Location() == time.UTC {
			without++
		}
	}
	if without > 5 { // uninhabited ones
		t.Errorf("%d countries have no zone", without)
	}
}
