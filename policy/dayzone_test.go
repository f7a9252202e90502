package policy_test

import (
	"testing"

	"github.com/exitgate/exitgate/policy"
)

// When a day begins is known of a country: a part of it may have another time than the
// capital, and a group has several.
func TestDayZone(t *testing.T) {
	for code, want := range map[policy.Code]string{"FR": "Europe/Paris", "RU": "Europe/Moscow", "RU-KAM": "", "US-CA": "", "EU": ""} {
		if got := policy.DayZone(code); got != want {
			t.Errorf("%s: %q, want %q", code, got, want)
		}
	}
}
