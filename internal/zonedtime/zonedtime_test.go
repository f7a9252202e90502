package zonedtime_test

import (
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/zonedtime"
)

func TestParse(t *testing.T) {
	for text, test := range map[string]struct {
		utc, again string // "" for an error
		advice     string // of Check
	}{
		"2026-12-01T00:00:00Z":                         {"2026-12-01T00:00:00Z", "2026-12-01T00:00:00Z", ""},
		"2026-12-01T00:00:00+01:00":                    {"2026-11-30T23:00:00Z", "2026-12-01T00:00:00+01:00", ""},
		"2026-12-01T00:00:00+01:00[Europe/Paris]":      {"2026-11-30T23:00:00Z", "2026-12-01T00:00:00+01:00[Europe/Paris]", ""},
		"2026-12-01T00:00:00+01:00[!Europe/Paris]":     {"2026-11-30T23:00:00Z", "2026-12-01T00:00:00+01:00[Europe/Paris]", ""},
		"2026-11-30T23:00:00Z[Europe/Paris]":           {"2026-11-30T23:00:00Z", "2026-11-30T23:00:00Z[Europe/Paris]", ""},
		"2026-07-01T00:00:00+01:00[Europe/Paris]":      {"2026-06-30T23:00:00Z", "2026-07-01T00:00:00+01:00[Europe/Paris]", "write 2026-07-01T00:00:00+02:00[Europe/Paris]"},
		"2026-07-01T00:00:00+01:00[Europe/Atlantis]":   {"2026-06-30T23:00:00Z", "2026-07-01T00:00:00+01:00[Europe/Atlantis]", "use a name of the tz database, as in 2026-12-01T00:00:00+01:00[Europe/Paris]"},
		"2026-07-01T00:00:00+01:00[../../etc/passwd]":  {"2026-06-30T23:00:00Z", "2026-07-01T00:00:00+01:00[../../etc/passwd]", "use a name of the tz database, as in 2026-12-01T00:00:00+01:00[Europe/Paris]"},
		"2026-07-01T00:00:00+01:00[UTC]":               {"2026-06-30T23:00:00Z", "2026-07-01T00:00:00+01:00[UTC]", "write 2026-07-01T00:00:00Z"},
		"2026-07-01T00:00:00Z[UTC]":                    {"2026-07-01T00:00:00Z", "2026-07-01T00:00:00Z[UTC]", ""},
		"2026-07-01T00:00:00Z[Local]":                  {"2026-07-01T00:00:00Z", "2026-07-01T00:00:00Z[Local]", "use a name of the tz database, as in 2026-12-01T00:00:00+01:00[Europe/Paris]"},
		"2026-12-01T00:00:00+24:00":                    {},
		"2026-12-01T00:00:00-01:60":                    {},
		"2026-12-01T00:00:00-23:59":                    {"2026-12-01T23:59:00Z", "2026-12-01T00:00:00-23:59", ""},
		"2026-12-01T00:00:00+01:00[Europe/Paris":       {},
		"2026-12-01T00:00:00+01:00[]":                  {},
		"2026-12-01T00:00:00+01:00[u-ca=hebrew]":       {},
		"2026-12-01T00:00:00+01:00[Europe/Paris][a=b]": {},
		"2026-12-01":               {},
		"2026-12-01[Europe/Paris]": {},
		"[Europe/Paris]":           {},
	} {
		got, err := zonedtime.Parse(text)
		if test.utc == "" {
			if err == nil {
				t.Errorf("%s is read as %v", text, got)
			}
			continue
		}
		if err != nil || got.UTC().Format(time.RFC3339) != test.utc || zonedtime.Format(got) != test.again {
			t.Errorf("%s is %s, written %s: %v", text, got.UTC(), zonedtime.Format(got), err)
		}
		if advice, err := zonedtime.Check(got); advice != test.advice || (err == nil) != (advice == "") {
			t.Errorf("%s: %v; %s", text, err, advice)
		}
	}
}

func TestIn(t *testing.T) {
	parse := func(text string) time.Time {
		at, err := zonedtime.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	for _, test := range []struct {
		at    time.Time
		zones []string
		want  string
	}{
		{parse("2026-11-30T23:00:00Z"), nil, "2026-11-30T23:00:00Z"},
		{parse("2026-11-30T23:00:00Z"), []string{"", "Europe/Paris"}, "2026-12-01T00:00:00+01:00"},
		{parse("2026-11-30T23:00:00Z"), []string{"Europe/Atlantis", "Asia/Tokyo", "Europe/Paris"}, "2026-12-01T08:00:00+09:00"},
		{parse("2026-11-30T23:00:00Z").In(time.Local), []string{"Europe/Paris"}, "2026-12-01T00:00:00+01:00"},
		{parse("2026-12-01T00:00:00+01:00"), []string{"Asia/Tokyo"}, "2026-12-01T00:00:00+01:00"},
		{parse("2026-11-30T23:00:00Z[Europe/Paris]"), []string{"Asia/Tokyo"}, "2026-12-01T00:00:00+01:00"},
		{parse("2026-12-01T00:00:00Z[UTC]"), []string{"Asia/Tokyo"}, "2026-12-01T00:00:00Z"},
		{parse("2026-12-01T00:00:00+01:00[Europe/Atlantis]"), []string{"Asia/Tokyo"}, "2026-12-01T00:00:00+01:00"},
	} {
		if got := zonedtime.In(test.at, test.zones...).Format(time.RFC3339); got != test.want {
			t.Errorf("%s in %q is %s, not %s", zonedtime.Format(test.at), test.zones, got, test.want)
		}
	}
}
