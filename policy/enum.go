package policy

import (
	"fmt"
	"slices"
)

// An enum is a type whose values have names, by number.
type enum interface{ ~uint8 }

// nameOf returns the name of a value, and for one without "Phase(9)".
func nameOf[E enum](names []string, e E, kind string) string {
	if int(e) < len(names) {
		return names[e]
	}
	return fmt.Sprintf("%s(%d)", kind, uint8(e))
}

// parseName sets a value by its name. what is for the error: "a phase".
func parseName[E enum](names []string, e *E, text []byte, what string) error {
	i := slices.Index(names, string(text))
	if i < 0 {
		return fmt.Errorf("%q is not %s", text, what)
	}
	*e = E(i)
	return nil
}
