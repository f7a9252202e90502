package traffic

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/exitgate/exitgate/internal/strictjson"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/plan"
)

// Sums are what was counted.
//
// Hour has every request of the last 60 minutes and may have some that are
// older: by less than five minutes and the time between two sweeps. Day has
// every request of the last 24 hours and may have some that are older: by less
// than an hour and the time between two sweeps. A clock that is set while the
// gateway runs changes that only if the times that Counts are given aren't
// from time.Now: when such a clock is set forward, what was counted ages by as
// much; when it is set back, it keeps its age.
type Sums struct {
	// Since is when the counting began: before it nothing is known.
	Since time.Time
	Hour  map[Key]uint64
	Day   map[Key]uint64
}

// Traffic returns the sums as a plan needs them.
func (s Sums) Traffic() (hour, day map[plan.Traffic]uint64) {
	return byTraffic(s.Hour), byTraffic(s.Day)
}

func byTraffic(counts map[Key]uint64) map[plan.Traffic]uint64 {
	sums := make(map[plan.Traffic]uint64, len(counts))
	for k, n := range counts {
		sums[k.Traffic] += n
	}
	return sums
}

// Add returns the sums of several gateways. They begin when the first of them
// began.
func Add(gateways ...Sums) Sums {
	all := Sums{Hour: make(map[Key]uint64), Day: make(map[Key]uint64)}
	for _, one := range gateways {
		if all.Since.IsZero() || !one.Since.IsZero() && one.Since.Before(all.Since) {
			all.Since = one.Since
		}
		for k, n := range one.Hour {
			all.Hour[k] += n
		}
		for k, n := range one.Day {
			all.Day[k] += n
		}
	}
	return all
}

// columns are how sums are written, from gateway to gateway: the same index in
// each is a key and its counts.
type columns struct {
	// Version is that of the format. This one, 1, isn't written: gateways up to
	// 803cf21 accept no further members.
	Version       int           `json:"version,omitempty"`
	Since         time.Time     `json:"since"`
	Jurisdictions []policy.Code `json:"jurisdictions"`
	Classes       []string      `json:"classes"`
	Entries       []policy.Code `json:"entries"`
	Anonymous     []bit         `json:"anonymous"`
	Refused       []bit         `json:"refused"`
	Hour          []uint64      `json:"hour"`
	Day           []uint64      `json:"day"`
}

// unknownPart stands behind the entry of requests of which it is true: gateways of
// version 1 that don't know it take it for another entry's name, and count alike.
const unknownPart = "?"

// A bit is 0 or 1.
type bit uint

func bitOf(set bool) bit {
	if set {
		return 1
	}
	return 0
}

// Limits of what another gateway may have counted.
const (
	maxText  = 16 << 20 // bytes
	maxTotal = 1 << 50  // requests a day
)

// ErrNewer is the error of sums of a later version.
var ErrNewer = errors.New("of a later version of exitgate")

// MarshalJSON writes the sums in about 35 bytes a key.
func (s Sums) MarshalJSON() ([]byte, error) {
	c := columns{Since: s.Since}
	for _, k := range slices.SortedFunc(maps.Keys(s.Day), compare) {
		c.Jurisdictions = append(c.Jurisdictions, k.Jurisdiction)
		c.Classes = append(c.Classes, k.Class)
		entry := k.Entry
		if k.UnknownPart {
			entry += unknownPart
		}
		c.Entries = append(c.Entries, entry)
		c.Anonymous = append(c.Anonymous, bitOf(k.Anonymous))
		c.Refused = append(c.Refused, bitOf(k.Refused))
		c.Hour = append(c.Hour, s.Hour[k])
		c.Day = append(c.Day, s.Day[k])
	}
	return json.Marshal(c)
}

func compare(a, b Key) int {
	return cmp.Or(
		strings.Compare(string(a.Jurisdiction), string(b.Jurisdiction)),
		strings.Compare(a.Class, b.Class),
		strings.Compare(string(a.Entry), string(b.Entry)),
		cmp.Compare(bitOf(a.Anonymous), bitOf(b.Anonymous)),
		cmp.Compare(bitOf(a.Refused), bitOf(b.Refused)),
		cmp.Compare(bitOf(a.UnknownPart), bitOf(b.UnknownPart)))
}

// UnmarshalJSON reads sums as MarshalJSON writes them. What can't have been
// counted is an error; sums of a later version are [ErrNewer].
func (s *Sums) UnmarshalJSON(text []byte) error {
	c, err := parse(text)
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return fmt.Errorf("not sums of traffic: %w", err)
	}
	read := Sums{Since: c.Since, Hour: make(map[Key]uint64, len(c.Hour)), Day: make(map[Key]uint64, len(c.Day))}
	for i := range c.Day {
		k := c.key(i)
		if _, twice := read.Day[k]; twice {
			return fmt.Errorf("not sums of traffic: %+v is there twice", k)
		}
		read.Day[k] = c.Day[i]
		put(read.Hour, k, c.Hour[i])
	}
	*s = read
	return nil
}

func parse(text []byte) (c columns, err error) {
	if len(text) > maxText {
		return c, fmt.Errorf("%d bytes: the limit is %d", len(text), maxText)
	}
	var format struct{ Version int }
	if json.Unmarshal(text, &format) == nil && format.Version > 1 {
		return c, fmt.Errorf("%w (version %d)", ErrNewer, format.Version)
	}
	return c, strictjson.Unmarshal(text, &c)
}

func (c columns) key(i int) Key {
	entry, isUnknownPart := strings.CutSuffix(string(c.Entries[i]), unknownPart)
	return Key{
		plan.Traffic{Jurisdiction: c.Jurisdictions[i], Class: c.Classes[i], Anonymous: c.Anonymous[i] == 1, UnknownPart: isUnknownPart},
		policy.Code(entry), c.Refused[i] == 1,
	}
}

// check returns an error if this can't have been counted.
func (c columns) check() error {
	rows := len(c.Day)
	if c.Since.IsZero() {
		return errors.New("since is missing")
	}
	if rows > MaxKeys+1 {
		return fmt.Errorf("there are %d keys: the limit is %d", rows, MaxKeys+1)
	}
	for _, length := range []int{len(c.Jurisdictions), len(c.Classes), len(c.Entries), len(c.Anonymous), len(c.Refused), len(c.Hour)} {
		if length != rows {
			return errors.New("columns of different lengths")
		}
	}
	total := uint64(0)
	for i := range rows {
		for _, name := range []string{string(c.Jurisdictions[i]), c.Classes[i], string(c.Entries[i])} {
			if strings.ContainsFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) {
				return fmt.Errorf("the name %q can't be printed", name)
			}
		}
		switch {
		case c.Anonymous[i] > 1 || c.Refused[i] > 1:
			return errors.New("neither 0 nor 1")
		case c.Day[i] == 0 || c.Hour[i] > c.Day[i]:
			return fmt.Errorf("%d in an hour, %d in a day", c.Hour[i], c.Day[i])
		case c.Day[i] > maxTotal-total:
			return errors.New("more requests than there can be")
		}
		total += c.Day[i]
	}
	return nil
}
