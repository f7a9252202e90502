package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/policy/iso3166"
)

// Territories says which of a country's territories that have codes of their own
// something reaches: all, none, or those of a list. The empty one doesn't say it.
type Territories []Code

const (
	allTerritories Code = "all"
	noTerritories  Code = "none"
)

// AllTerritories and NoTerritories return what all and none are read as.
func AllTerritories() Territories { return Territories{allTerritories} }
func NoTerritories() Territories  { return Territories{noTerritories} }

// UnmarshalText reads all and none, and true and false, as they were written
// before.
func (t *Territories) UnmarshalText(text []byte) error {
	switch strings.ToLower(string(text)) {
	case "true", string(allTerritories):
		*t = AllTerritories()
	case "false", string(noTerritories):
		*t = NoTerritories()
	default:
		return fmt.Errorf("%.80q doesn't say which territories: write all, none, or a list of their codes", text)
	}
	return nil
}

// SchemaEnum lists what may be written in place of a list.
func (Territories) SchemaEnum() []string {
	return []string{string(allTerritories), string(noTerritories)}
}

// ParseTerritories reads all, none, or codes with commas between them.
func ParseTerritories(text string) (Territories, error) {
	var t Territories
	if err := t.UnmarshalText([]byte(text)); err == nil {
		return t, nil
	}
	for code := range strings.SplitSeq(text, ",") {
		if _, ok := iso3166.LookupCountry(strings.TrimSpace(code)); !ok {
			return nil, fmt.Errorf("%.80q is not a territory: write all, none, or codes, as in GP,RE", code)
		}
		t = append(t, Code(strings.TrimSpace(code)))
	}
	return t, nil
}

// Said reports whether it is said which territories are reached.
func (t Territories) Said() bool { return len(t) > 0 }

// Of returns which territories of a country are reached.
func (t Territories) Of(country Code) []Code {
	switch {
	case !t.Said() || t[0] == noTerritories:
		return nil
	case t[0] != allTerritories:
		return t
	}
	return TerritoriesOf(country)
}

// TerritoriesOf returns the territories of a country that have codes of their own.
func TerritoriesOf(country Code) []Code {
	var codes []Code
	for _, code := range iso3166.Territories(string(country)) {
		codes = append(codes, Code(code))
	}
	return codes
}

// Equal reports whether the same is said.
func (t Territories) Equal(other Territories) bool { return slices.Equal(t, other) }

// String writes it as a policy has it.
func (t Territories) String() string {
	switch {
	case !t.Said():
		return ""
	case t[0] == allTerritories || t[0] == noTerritories:
		return string(t[0])
	}
	return "[" + joinCodes(t) + "]"
}

// MarshalJSON writes true, false or a list.
func (t Territories) MarshalJSON() ([]byte, error) {
	switch {
	case !t.Said():
		return []byte("null"), nil
	case t[0] == allTerritories || t[0] == noTerritories:
		return json.Marshal(t[0] == allTerritories)
	}
	return json.Marshal([]Code(t))
}

// UnmarshalJSON reads what MarshalJSON writes.
func (t *Territories) UnmarshalJSON(text []byte) error {
	var all *bool
	if err := json.Unmarshal(text, &all); err == nil {
		switch {
		case all == nil:
			*t = nil
		case *all:
			*t = AllTerritories()
		default:
			*t = NoTerritories()
		}
		return nil
	}
	return json.Unmarshal(text, (*[]Code)(t))
}

// checkTerritories checks which territories of a country something reaches.
func (p *builder) checkTerritories(code Code, t Territories, path []any) {
	all := TerritoriesOf(code)
	switch {
	case t == nil || t.Equal(NoTerritories()):
	case len(t) == 0:
		p.errorf("write none, or all, or list codes", path, "no territory is listed")
	case len(all) == 0:
		p.errorf("remove territories", path, "%s has no territories with codes of their own", code)
	case !t.Equal(AllTerritories()):
		for i, territory := range t {
			path := append(slices.Clip(path), i)
			switch {
			case !slices.Contains(all, territory):
				p.errorf("use some of "+joinCodes(all), path, "%.80q is not a territory of %s", territory, code)
			case slices.Contains(t[:i], territory):
				p.errorf("remove one", path, "%s is listed twice", territory)
			}
		}
	}
}

func joinCodes(codes []Code) string {
	var words []string
	for _, code := range codes {
		words = append(words, string(code))
	}
	return strings.Join(words, ", ")
}

// checkProposed reports what is wrong by the rules for what is newly proposed.
func (b *builder) checkProposed() {
	p := b.policy
	for _, name := range slices.Sorted(maps.Keys(p.demands)) {
		if d := p.demands[name]; d.Binds() {
			b.checkTerritoriesSaid(name, d)
			b.checkDemandIsMet(name, isNewlyNested)
		}
	}
	b.checkUnknownPartsSaid()
	b.checkEssentialIsSome()
	b.checkOneBeginning()
}

// UnsaidTerritories returns the countries with territories that entries restrict,
// now or later, and that don't say which of these they reach: none. They are sorted.
func (p *Policy) UnsaidTerritories() []Code {
	var all []Code
	for _, code := range slices.Sorted(maps.Keys(p.rules)) {
		e := p.rules[code]
		if e.territories.Said() || len(TerritoriesOf(code)) == 0 {
			continue
		}
		if slices.ContainsFunc(e.Timelines(), func(steps []Step) bool {
			return slices.ContainsFunc(steps, func(s Step) bool { return s.Phase > Open })
		}) {
			all = append(all, code)
		}
	}
	return all
}

// SaysSame reports whether the entry of a jurisdiction says the same in both
// policies.
func (p *Policy) SaysSame(other *Policy, code Code) bool {
	return reflect.DeepEqual(p.def.Jurisdictions[string(code)], other.def.Jurisdictions[string(code)])
}

// checkTerritoriesSaid reports a demand of a country with territories that
// doesn't say which of them it binds: a law reaches some of them, and others not.
func (p *builder) checkTerritoriesSaid(name string, d Demand) {
	all := TerritoriesOf(d.Jurisdiction)
	e := p.policy.rules[d.Jurisdiction]
	if len(all) == 0 || d.Territories.Said() || e != nil && e.territories.Said() {
		return
	}
	p.errorf(fmt.Sprintf("look which of %s it is law in, and write territories: all, none or a list of these", joinCodes(all)),
		key("demands", name), "it isn't said which territories of %s the demand %s binds", d.Jurisdiction, name)
}
