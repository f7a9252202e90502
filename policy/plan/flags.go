package plan

import (
	"maps"
	"slices"
	"time"

	"github.com/exitgate/exitgate/policy"
)

// PredictFlags returns what the flags will be once one policy takes the place of
// another, as far as that can be known beforehand: values that come from the
// policy's own table change with it, and breaches that the new one acknowledges
// are lifted.
func PredictFlags(before, after *policy.Policy, flags policy.Flags) policy.Flags {
	own := allKeys(before.Definition().Flags, after.Definition().Flags)
	places := make(map[policy.Code]policy.Place, len(after.Places()))
	if len(own) > 0 {
		for _, place := range slices.Concat(before.Places(), after.Places()) {
			places[place.Jurisdiction()] = place
		}
	}
	for code := range flags {
		if _, known := places[code]; !known {
			places[code] = policy.PlaceOf(code)
		}
	}
	predicted := make(policy.Flags, len(places))
	for code, place := range places {
		s := withoutAcknowledged(after, code, flags.In(code))
		s.Values = replaceOwnValues(before, after, s.Values, own, place)
		predicted[code] = s
	}
	return predicted
}

// withoutAcknowledged returns settings without the breaches that a policy
// acknowledges.
func withoutAcknowledged(p *policy.Policy, code policy.Code, s policy.Settings) policy.Settings {
	s.Breached = maps.Clone(s.Breached)
	maps.DeleteFunc(s.Breached, func(flag string, since time.Time) bool {
		until := p.AcknowledgedUntil(flag, code)
		return !until.IsZero() && !until.Before(since)
	})
	return s
}

// replaceOwnValues returns values with those that seem to come from the table of
// the policy before replaced by what that of the policy after says.
func replaceOwnValues(before, after *policy.Policy, known map[string]policy.Value, own []string, place policy.Place) map[string]policy.Value {
	replaced := maps.Clone(known)
	if replaced == nil {
		replaced = make(map[string]policy.Value)
	}
	for _, flag := range own {
		now, set := known[flag]
		is, has := after.Value(flag, place)
		if set && has && now == is {
			continue // wherever it is from
		}
		if was, _ := before.Value(flag, place); set && now != was {
			continue // from a source
		}
		if has {
			replaced[flag] = is
		} else {
			delete(replaced, flag)
		}
	}
	return replaced
}
