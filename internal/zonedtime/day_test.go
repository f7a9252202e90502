package zonedtime_test

import (
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/zonedtime"
)

func TestStartOfDay(t *testing.T) {
	for day, want := range map[string]string{
		"2026-12-01 Europe/Paris":      "2026-12-01T00:00:00+01:00",
		"2027-09-05 America/Santiago":  "2027-09-05T01:00:00-03:00", // there is no midnight
		"2027-09-06 America/Santiago":  "2027-09-06T00:00:00-03:00",
		"2027-04-04 America/Santiago":  "2027-04-04T00:00:00-04:00", // the evening before is an hour longer
		"2018-11-04 America/Sao_Paulo": "2018-11-04T01:00:00-02:00",
		"2027-04-23 Africa/Cairo":      "2027-04-23T00:00:00+02:00",
		"2027-04-30 Africa/Cairo":      "2027-04-30T01:00:00+03:00",
		"2011-12-30 Pacific/Apia":      "2011-12-31T00:00:00+14:00", // there is no such day
		"2026-12-01 UTC":               "2026-12-01T00:00:00Z",
	} {
		at, name := day[:10], day[11:]
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		d, err := time.Parse(time.DateOnly, at)
		if err != nil {
			t.Fatal(err)
		}
		if got := zonedtime.StartOfDay(d.Year(), d.Month(), d.Day(), zone).Format(time.RFC3339); got != want {
			t.Errorf("%s begins at %s, want %s", day, got, want)
		}
	}
}
