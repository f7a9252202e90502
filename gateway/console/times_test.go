package console

import (
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
)

func TestTimes(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0 s", 59 * time.Second: "59 s", 90 * time.Minute: "1 h 30 min", 41 * time.Minute: "41 min",
		5*24*time.Hour + 20*time.Hour: "5 d 20 h", 36 * 24 * time.Hour: "36 d", 3 * 365 * 24 * time.Hour: "3 y",
	} {
		if got := span(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
	at := time.Date(2026, 11, 30, 23, 0, 0, 0, time.UTC)
	for place, want := range map[string]string{
		"FR": "Tuesday 1 December 2026, 00:00 Europe/Paris (2026-11-30 23:00 UTC)", "GB": "Monday 30 November 2026, 23:00 UTC", "EU": "Monday 30 November 2026, 23:00 UTC",
	} {
		if got := there(at, policy.Code(place), ""); got != want {
			t.Errorf("in %s it is %q, want %q", place, got, want)
		}
	}
}

// A day and a time are those of the place, and one that its clocks leave out is none.
func TestParseMoment(t *testing.T) {
	for _, c := range []struct{ day, clock, zone, want string }{
		{"2026-12-01", "", "there", "2026-11-30T23:00:00Z"},
		{"2026-12-01", "00:00", "utc", "2026-12-01T00:00:00Z"},
		{" 2026-07-01 ", "12:30", "there", "2026-07-01T10:30:00Z"},
		{"2027-03-28", "02:30", "there", ""}, // the clocks are put forward
		{"2026-13-01", "", "there", ""},
		{"01.12.2026", "", "there", ""},
		{"2026-12-01", "25:00", "there", ""},
	} {
		got, err := parseMoment(c.day, c.clock, c.zone, "Europe/Paris")
		if (err == nil) != (c.want != "") || err == nil && got.UTC().Format(time.RFC3339) != c.want {
			t.Errorf("%q %q: %v, %v, want %s", c.day, c.clock, got, err, c.want)
		}
	}
}

func TestLocalPath(t *testing.T) {
	for target, want := range map[string]string{
		"/changes#n9": "/changes#n9", "/?view=table": "/?view=table", "": "/", "changes": "/", "//evil.example": "/", "https://evil.example/": "/",
		"/\\evil.example": "/", "/\r\nX: y": "/", "javascript:alert(1)": "/", "/%zz": "/",
	} {
		if got := localPath(target); got != want {
			t.Errorf("%q leads to %q, want %q", target, got, want)
		}
	}
}
