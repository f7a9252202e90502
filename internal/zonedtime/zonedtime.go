// Package zonedtime reads and writes moments that say the zone that they are meant in:
// RFC 9557, as in 2026-12-01T00:00:00+01:00[Europe/Paris]. The offset decides: which
// zones there are, and what their offsets are, depends on a machine's tz database.
// Parse and Format don't look at that; Check and In do.
package zonedtime

import (
	"errors"
	"fmt"
	"strings"
	"time"
	_ "time/tzdata" // where the system has none
)

// Parse reads a moment by RFC 3339, and the name of the zone that may follow it in
// brackets. Its Location has the offset, and that name; it is UTC where there is
// neither.
func Parse(text string) (time.Time, error) {
	moment, name, zoned := strings.Cut(text, "[")
	var t time.Time
	if err := t.UnmarshalText([]byte(moment)); err != nil {
		return t, err
	}
	// The time package takes 24 hours and 60 minutes, too, and doesn't write them again.
	if n := len(moment); n > 6 && moment[n-3] == ':' && (moment[n-5:n-3] > "23" || moment[n-2:] > "59") {
		return t, fmt.Errorf("%s is no offset: RFC 3339 has -23:59 to +23:59", moment[n-6:])
	}
	name, closed := strings.CutSuffix(name, "]")
	name = strings.TrimPrefix(name, "!")
	if zoned && (!closed || name == "" || strings.ContainsAny(name, "[]=")) {
		return t, fmt.Errorf("%.80q isn't a zone, as in [Europe/Paris]", text[len(moment):])
	}
	if _, offset := t.Zone(); offset != 0 || zoned {
		return t.In(time.FixedZone(name, offset)), nil // else it would be the machine's zone, where that has the offset
	}
	return t.UTC(), nil
}

// Format writes a moment with its zone, if that was said.
func Format(t time.Time) string {
	text := t.Format(time.RFC3339Nano)
	if name := zoneOf(t); name != "" {
		text += "[" + name + "]"
	}
	return text
}

// zoneOf returns the zone that a moment says, "" if it says none.
func zoneOf(t time.Time) string {
	if zone := t.Location(); zone != time.UTC && zone != time.Local { // by what they are: [UTC] may be said
		return zone.String()
	}
	return ""
}

// Check returns what is wrong with the zone that a moment says, and how it would be
// right: that there is none of the name, or that it has another offset then. Z says no
// offset, so that it agrees with each (RFC 9557, section 2.2).
func Check(t time.Time) (advice string, err error) {
	name := zoneOf(t)
	if name == "" {
		return "", nil
	}
	zone, err := load(name)
	if err != nil {
		return "use a name of the tz database, as in 2026-12-01T00:00:00+01:00[Europe/Paris]", err
	}
	_, said := t.Zone()
	if _, is := t.In(zone).Zone(); said == is || said == 0 {
		return "", nil
	}
	local := time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), t.Nanosecond(), zone)
	return "write " + Format(local), fmt.Errorf("the offset isn't that of %s then", name)
}

// In returns a moment in the zone that it says, by its offset if that is all that it
// says; else in the first of some zones that there is, else in UTC. The zone of the
// machine counts for nothing.
func In(t time.Time, zones ...string) time.Time {
	if zone, err := load(zoneOf(t)); err == nil {
		return t.In(zone)
	}
	if _, offset := t.Zone(); offset != 0 && t.Location() != time.Local {
		return t
	}
	for _, name := range zones {
		if zone, err := load(name); err == nil {
			return t.In(zone)
		}
	}
	return t.UTC()
}

// StartOfDay returns when a day begins in a zone: at midnight, or where clocks are set
// forward then, as in Chile in September, at the first moment after it.
func StartOfDay(year int, month time.Month, day int, zone *time.Location) time.Time {
	const asWritten = "2006-01-02T15:04:05"
	t := time.Date(year, month, day, 0, 0, 0, 0, zone)
	start, end := t.ZoneBounds()
	switch strings.Compare(t.Format(asWritten), time.Date(year, month, day, 0, 0, 0, 0, time.UTC).Format(asWritten)) {
	case -1: // midnight is skipped, and this is an hour before it
		return end
	case +1:
		return start
	}
	return t
}

func load(name string) (*time.Location, error) {
	if name == "" {
		return nil, errors.New("there is no zone")
	}
	if name == "Local" { // the machine's, which time.LoadLocation would return
		return nil, errors.New(`"Local" is no time zone`)
	}
	zone, err := time.LoadLocation(name)
	if err != nil {
		return nil, fmt.Errorf("%.80q is no time zone", name)
	}
	return zone, nil
}

// CheckName returns why a name is no zone's.
func CheckName(name string) error {
	_, err := load(name)
	return err
}
