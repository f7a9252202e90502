package policy

// A Phase is what a market gets. Phases are ordered by restriction: of two
// phases the greater one is the more restrictive.
type Phase uint8

const (
	Open        Phase = iota // everything is served
	Announced                // everything is served, the end date is announced
	ClosedToNew              // no new users: the sign-up class is refused
	WindDown                 // only what people need to leave: the export and essential classes
	Withdrawn                // only the essential class
)

var phaseNames = [...]string{"open", "announced", "closed-to-new", "wind-down", "withdrawn"}

// Phases returns all phases in order of restriction.
func Phases() []Phase { return []Phase{Open, Announced, ClosedToNew, WindDown, Withdrawn} }

func (p Phase) String() string { return nameOf(phaseNames[:], p, "Phase") }

// MarshalText writes the phase's name.
func (p Phase) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

// UnmarshalText reads a phase's name.
func (p *Phase) UnmarshalText(text []byte) error { return parseName(phaseNames[:], p, text, "a phase") }

// SchemaEnum lists the phases' names for the JSON Schema.
func (Phase) SchemaEnum() []string { return phaseNames[:] }

// Refuses reports whether a market in phase p is refused the requests of a route
// class.
func (p Phase) Refuses(class string) bool {
	switch p {
	case Open, Announced:
		return false
	case ClosedToNew:
		return class == SignUp
	case WindDown:
		return class != Export && class != Essential
	}
	return class != Essential
}

// The route classes that phases refer to. A policy may define others, and
// refuse them one by one with an entry's routes.
const (
	SignUp    = "sign-up"
	Export    = "export"
	Essential = "essential"
	// Other is the class of the requests that no pattern matches.
	Other = "other"
)
