// Package flags is the OpenFeature edge. It evaluates flags for each
// jurisdiction, keeps what was accepted, and guards what is guaranteed: a value
// below a guarantee is never passed on.
//
// A Go app can use the Guard by itself, around its own provider.
package flags

import (
	"slices"

	"github.com/open-feature/go-sdk/openfeature"

	"github.com/exitgate/exitgate/policy"
)

// Probes are how many further targeting keys a jurisdiction is evaluated with.
// A rule that answers by percentage puts the one key of a whole country into
// one bucket; others show that its users would be in several.
const Probes = 3

// Contexts returns the evaluation contexts of a place: the one that its flags
// are evaluated with, and the probes. Their attributes are
//
//	targetingKey  FR, then FR/1, FR/2 and so on for the probes
//	jurisdiction  FR, or FR-IDF where the policy tells subdivisions apart; unlocated; private
//	country       FR; none for unlocated and private
//	groups        [EEA, EU, …], the operator's and the built-in ones
func Contexts(p *policy.Policy, place policy.Place) []openfeature.FlattenedContext {
	jurisdiction := string(place.Jurisdiction())
	groups := []any{}
	for _, code := range p.Groups(place) {
		groups = append(groups, string(code))
	}
	contexts := make([]openfeature.FlattenedContext, 0, 1+Probes)
	for i := range 1 + Probes {
		c := openfeature.FlattenedContext{
			openfeature.TargetingKey: probeKey(jurisdiction, i),
			"jurisdiction":           jurisdiction,
			"groups":                 groups,
		}
		if place.Country != "" {
			c["country"] = string(place.Country)
		}
		contexts = append(contexts, c)
	}
	return contexts
}

// Names returns the names of the flags that are evaluated for a policy.
func Names(p *policy.Policy) []string {
	names := []string{policy.PhaseFlag}
	for _, f := range p.Flags() {
		names = append(names, f.Name)
	}
	slices.Sort(names)
	return names
}

func probeKey(jurisdiction string, probe int) string {
	if probe == 0 {
		return jurisdiction
	}
	return jurisdiction + "/" + string(rune('0'+probe))
}
