package notice

import (
	_ "embed"
	"strings"
	"sync"
	"time"
	_ "time/tzdata" // where the system has none

	"github.com/exitgate/exitgate/policy"
)

//go:embed zones.txt
var zonesText string

// zoneNames are the names of the countries' time zones.
var zoneNames = sync.OnceValue(func() map[policy.Code]string {
	names := make(map[policy.Code]string)
	for line := range strings.Lines(zonesText) {
		if code, name, ok := strings.Cut(strings.TrimSpace(line), " "); ok && code != "#" {
			names[policy.Code(code)] = name
		}
	}
	return names
})

// localTime returns a moment in the time zone that public texts give its date in: the
// one that it was written with, if that says more than UTC; else that of the
// jurisdiction's country, of several that of its capital; else UTC. The zone of the
// machine counts for nothing.
func localTime(t time.Time, code policy.Code) time.Time {
	if zone := t.Location(); zone != time.UTC && zone != time.Local {
		return t
	}
	if name, ok := zoneNames()[policy.PlaceOf(code).Country]; ok {
		if zone, err := time.LoadLocation(name); err == nil {
			return t.In(zone)
		}
	}
	return t.UTC()
}
