package policy

import (
	_ "embed"
	"strings"
	"sync"
	"time"
)

//go:embed zones.txt
var zonesText string

// zoneNames are the names of the countries' time zones.
var zoneNames = sync.OnceValue(func() map[Code]string {
	names := make(map[Code]string)
	for line := range strings.Lines(zonesText) {
		if code, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && code != "#" {
			names[Code(code)] = name
		}
	}
	return names
})

// ZoneOf returns the name of the time zone in which dates of a jurisdiction are given:
// that of its country, of several that of the capital; "" if there is none.
func ZoneOf(code Code) string { return zoneNames()[PlaceOf(code).Country] }

// DayZone returns the name of the time zone in which a day begins in a jurisdiction, "" if
// that isn't known: a part of a country may have another one than the capital, and a group
// has several.
func DayZone(code Code) string {
	if PlaceOf(code).Subdivisions[0] != "" {
		return ""
	}
	return ZoneOf(code)
}

// Written returns a moment as a step that begins then in a jurisdiction is written: with
// its zone or its offset, if it says one, else in UTC.
func (p *Policy) Written(code Code, t time.Time) time.Time {
	for _, rule := range p.Governing(PlaceOf(code)) {
		for _, steps := range rule.Timelines() {
			for _, step := range steps {
				if _, offset := step.From.Zone(); step.From.Equal(t) && offset != 0 {
					return step.From
				}
			}
		}
	}
	return t.UTC()
}

// NoticeZone returns the time zone in which the notices of a jurisdiction give dates, ""
// if they don't say it.
func (p *Policy) NoticeZone(code Code) string {
	d := Decision{Jurisdiction: code, Entry: Default}
	if governing := p.Governing(PlaceOf(code)); len(governing) > 0 {
		d.Entry = governing[0].code
	}
	return p.Notice(d).Zone
}
