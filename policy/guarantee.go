package policy

import (
	"slices"
	"strings"
)

// A Guarantee is what must hold of a flag wherever the service is served. All
// bounds that are given must be met.
type Guarantee struct {
	Require   *Value  `yaml:"require" json:"require,omitempty" doc:"The value that it must have."`
	AtLeast   *Value  `yaml:"at-least" json:"at-least,omitempty" doc:"The least that it may be: a number."`
	AtMost    *Value  `yaml:"at-most" json:"at-most,omitempty" doc:"The most that it may be: a number."`
	OneOf     []Value `yaml:"one-of" json:"one-of,omitempty" doc:"The values that it may have."`
	Statement Words   `yaml:"statement" json:"statement,omitempty" doc:"The guarantee in a sentence for people, as notices show it: a text, or one by language (BCP 47)."`
}

// Allows reports whether a value meets the guarantee. A value of another type
// doesn't, nor does NaN.
func (g Guarantee) Allows(v Value) bool {
	switch {
	case v.IsZero():
		return false
	case g.Require != nil && !g.Require.Equal(v):
		return false
	case g.AtLeast != nil && !v.AtLeast(*g.AtLeast):
		return false
	case g.AtMost != nil && !g.AtMost.AtLeast(v):
		return false
	case g.OneOf != nil && !slices.ContainsFunc(g.OneOf, v.Equal):
		return false
	}
	return true
}

// Equal compares values; an integer and a float may be the same number.
func (v Value) Equal(other Value) bool {
	return v == other || v.AtLeast(other) && other.AtLeast(v)
}

// AtLeast reports whether both values are numbers, and the first is not below the
// second.
func (v Value) AtLeast(other Value) bool {
	a, isInt := v.of.(int64)
	b, alsoInt := other.of.(int64)
	if isInt && alsoInt {
		return a >= b
	}
	x, isNumber := v.As(Float)
	y, alsoNumber := other.As(Float)
	// Not cmp.Compare, to which NaN is less than all others.
	return isNumber && alsoNumber && x.of.(float64) >= y.of.(float64)
}

// String says what is guaranteed: "require true", "at-least 1, at-most 5".
func (g Guarantee) String() string {
	var terms []string
	for _, bound := range []struct {
		word  string
		value *Value
	}{{"require", g.Require}, {"at-least", g.AtLeast}, {"at-most", g.AtMost}} {
		if bound.value != nil {
			terms = append(terms, bound.word+" "+bound.value.String())
		}
	}
	if g.OneOf != nil {
		var values []string
		for _, v := range g.OneOf {
			values = append(values, v.String())
		}
		terms = append(terms, "one-of ["+strings.Join(values, ", ")+"]")
	}
	return strings.Join(terms, ", ")
}

// A Flag is a flag that the policy names: one that it guarantees something of,
// or gives values for. The app gets these, and no others.
type Flag struct {
	Name string `json:"name"`
	Kind Kind   `json:"type"`
	// Guarantee is what must hold of it, nil if nothing is guaranteed.
	Guarantee *Guarantee `json:"guarantee,omitempty"`
}

// Allows reports whether a value may be sent to the app, as far as the guarantee
// of the flag goes.
func (f Flag) Allows(v Value) bool { return f.Guarantee == nil || f.Guarantee.Allows(v) }
