package policy

// A Rest is what becomes of the rest of the service for who is refused something: of
// all route classes but that one and what is always essential.
type Rest uint8

const (
	RestOpen    Rest = iota // nothing of it is restricted
	RestServed              // nothing of it is refused
	RestPartly              // something of it is refused
	RestRefused             // all of it is, or there is none
)

// RestOf returns what becomes of the rest of the service in a place, beside the class
// that a decision is on.
func (s *Snapshot) RestOf(place Place, d *Decision) Rest {
	restricted, refused, served := false, false, false
	for class, name := range s.policy.classes {
		if name == d.Class || name == Essential || s.policy.isEmpty[class] {
			continue
		}
		other := s.Decide(place, Class(class))
		restricted = restricted || other.Phase > Open
		if other.Action == Refuse {
			refused = true
		} else {
			served = true
		}
	}
	switch {
	case !served:
		return RestRefused
	case refused:
		return RestPartly
	case restricted:
		return RestServed
	}
	return RestOpen
}
