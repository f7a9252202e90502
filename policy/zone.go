package policy

import (
	_ "embed"
	"strings"
	"sync"
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
