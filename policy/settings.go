package policy

// Settings are what the flags of one jurisdiction are set to.
type Settings struct {
	// Values are the flags' values by name. A value below its guarantee is
	// never told to an app, and withdraws the jurisdiction.
	Values map[string]Value `json:"values,omitempty"`
	// Breached are the flags that were seen below their guarantee, and whose
	// breach nobody has acknowledged: they withdraw the jurisdiction
	// whatever their value is now.
	Breached []string `json:"breached,omitempty"`
	// Phase is what the flag exitgate.phase says. It can restrict, never open.
	Phase Phase `json:"phase,omitempty"`
}

// PhaseFlag is the flag by which a source can restrict a jurisdiction further
// than the policy does: the name of a phase.
const PhaseFlag = "exitgate.phase"

// Flags are the Settings of all jurisdictions that are known, by the code that
// Place.Jurisdiction returns. A place that has none takes those of the next
// larger one. Flags are not changed once they are made.
type Flags map[Code]Settings

// of returns the settings of a place, zero ones if nothing is known of it.
func (f Flags) of(place Place) Settings {
	for _, code := range [...]Code{place.Jurisdiction(), place.Subdivisions[0], place.Country} {
		if s, ok := f[code]; ok {
			return s
		}
	}
	return Settings{}
}
