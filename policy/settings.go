package policy

import "time"

// Settings are what the flags of one jurisdiction are set to.
type Settings struct {
	// Values are the flags' values by name. One below its guarantee is never
	// sent to an app, and withdraws the jurisdiction. The zero Value stands
	// for such a one: what it was needn't be known.
	Values map[string]Value `json:"values,omitempty"`
	// Breached are the flags that were seen below their guarantee and whose
	// breach nobody has acknowledged, with when that was first: they
	// withdraw the jurisdiction whatever their value is now.
	Breached map[string]time.Time `json:"breached,omitempty"`
	// Phase is what the flag exitgate.phase says. It can restrict, never open.
	Phase Phase `json:"phase,omitempty"`
}

// PhaseFlag is the flag by which a source can restrict a jurisdiction further
// than the policy does: the name of a phase.
const PhaseFlag = "exitgate.phase"

// Flags are the Settings of all jurisdictions that are known: countries,
// subdivisions, Unlocated and Private. A subdivision that has none takes those
// of what it lies in. Flags are not changed once they are made.
type Flags map[Code]Settings

// In returns the settings of a jurisdiction, zero ones if nothing is known of
// it nor of what it lies in.
func (f Flags) In(jurisdiction Code) Settings {
	for ; len(f) > 0 && jurisdiction != ""; jurisdiction = partOf(jurisdiction) {
		if s, ok := f[jurisdiction]; ok {
			return s
		}
	}
	return Settings{}
}

// A breach is a flag below its guarantee, the zero one none.
type breach struct {
	flag  string
	since time.Time
}

// breachIn returns the first breach, by the flag's name.
func (p *Policy) breachIn(s Settings) breach {
	for _, f := range p.flags {
		if f.Guarantee == nil {
			continue
		}
		since, seen := s.Breached[f.Name]
		if v, set := s.Values[f.Name]; seen || set && !f.Allows(v) {
			return breach{f.Name, since}
		}
	}
	return breach{}
}

// Breaches reports whether settings break a guarantee, or did and nobody has
// acknowledged it.
func (p *Policy) Breaches(s Settings) bool { return p.breachIn(s).flag != "" }

// withhold makes of a decision the one for a place where a guarantee is broken.
// Not even a policy that only observes lets such a request pass.
func (p *Policy) withhold(b breach, d Decision) Decision {
	if b.flag == "" || d.Phase == Withdrawn && d.Action != WouldRefuse {
		return d
	}
	withheld := Decision{Jurisdiction: d.Jurisdiction, Phase: Withdrawn, Reason: ByGuarantee, Entry: d.Entry, Class: d.Class, Flag: b.flag, Since: b.since}
	if withheld.Phase.Refuses(d.Class) {
		withheld.Action = Refuse
	}
	return withheld
}

// restrict makes of a decision the one in a phase, if that is more
// restrictive.
func (p *Policy) restrict(phase Phase, d Decision) Decision {
	restricted := Decision{Jurisdiction: d.Jurisdiction, Phase: phase, Reason: ByFlag, Entry: d.Entry, Class: d.Class, Flag: PhaseFlag}
	restricted.Action = p.action(phase, d.Class)
	return *Stricter(&d, &restricted)
}

// A FlagValue is a flag as an app gets it.
type FlagValue struct {
	Name  string
	Value Value
}

// FlagsToApp returns the flags that an app gets for a jurisdiction, by name:
// those that the policy names and that have a value, except for any below its
// guarantee.
func (s *Snapshot) FlagsToApp(jurisdiction Code) []FlagValue {
	settings := s.flags.In(jurisdiction)
	var flags []FlagValue
	for _, f := range s.policy.flags {
		v, ok := settings.Values[f.Name].As(f.Kind)
		_, breached := settings.Breached[f.Name]
		if ok && !breached && f.Allows(v) && v.CheckSendable() == nil {
			flags = append(flags, FlagValue{f.Name, v})
		}
	}
	return flags
}
