// Package plan tells what would change if one policy took the place of another:
// who would get what, from when on, and how many requests that would decide
// otherwise.
package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
)

// A Plan is everything that would change if one policy took the place of
// another at a moment: at once, and at each later step of either schedule
// until both hold for good.
type Plan struct {
	Before string    `json:"before"` // digest of the policy in use
	After  string    `json:"after"`  // digest of the one that would take its place
	At     time.Time `json:"at"`
	// Hash names what is planned. It doesn't depend on At and on the flags
	// themselves: as long as the same moves and effects come of them, the plan
	// is the same.
	Hash string `json:"hash"`
	// Effects are those of all moves and amendments, and of what would move if
	// no flag restricted it now, the gravest first. There is one at least
	// where the documents differ.
	Effects []Effect `json:"effects,omitempty"`
	Moves   []Move   `json:"moves,omitempty"`
	// Exceptions are the subdivisions that don't move as what they lie in does.
	// All others go along.
	Exceptions []policy.Code `json:"apart,omitempty"`
	// UnknownParts are the places in which those don't move along of whom no part of
	// the place is known that the policies speak of.
	UnknownParts []policy.Code            `json:"unknown-parts,omitempty"`
	Amendments   []Amendment              `json:"amendments,omitempty"`
	Expansions   []Expansion              `json:"expansions,omitempty"`
	Warnings     []*strictyaml.Diagnostic `json:"warnings,omitempty"` // of the new policy

	before, after *projection
	hidden        map[Effect][]policy.Code // whom moves concern that flags hide for now
}

// New returns what would change if the policy after took the place of before
// at a moment, as far as the flags known then go. Places are taken as ISO 3166
// has them: each subdivision within the one that it lies in. Warnings are left to
// who has the document and shows them.
func New(before, after *policy.Policy, flags policy.Flags, at time.Time) Plan {
	p := Plan{
		Before: before.Digest(),
		After:  after.Digest(),
		At:     at,
		before: newProjection(before, flags),
		after:  newProjection(after, PredictFlags(before, after, flags)),
	}
	p.compare()
	p.addAmendments()
	p.addEffects()
	p.Hash = p.hash()
	return p
}

// Empty reports whether nothing would change but words in the document that mean
// nothing, such as comments.
func (p Plan) Empty() bool { return p.Moves == nil && p.Amendments == nil }

// HasEffect reports whether the plan has an effect.
func (p Plan) HasEffect(effect Effect) bool { return slices.Contains(p.Effects, effect) }

// OnlyRestricts reports whether nothing would come of the plan but that somebody
// gets less: nobody gets more than by the policy in use, at any moment and
// whatever flags then say of the places that both policies distinguish, and
// nothing but entries and the mode is amended. That is what one person may do
// in an emergency.
func (p Plan) OnlyRestricts() bool {
	amendsElse := slices.ContainsFunc(p.Amendments, func(a Amendment) bool { return a.Section != "jurisdictions" && a.Section != "mode" })
	return slices.Equal(p.Effects, []Effect{WithdrawsMarket}) && !amendsElse
}

// GivesMore reports whether somebody gets more by the plan, or could.
func (p Plan) GivesMore() bool {
	return slices.ContainsFunc([]Effect{OpensMarket, WeakensGuarantee, WeakensDemand, AcknowledgesBreach}, p.HasEffect)
}

// addEffects notes the effects of all that the plan does.
func (p *Plan) addEffects() {
	for _, m := range p.Moves {
		p.Effects = append(p.Effects, m.Effect)
	}
	for _, a := range p.Amendments {
		if a.Effect != "" {
			p.Effects = append(p.Effects, a.Effect)
		}
	}
	for effect := range p.hidden {
		p.Effects = append(p.Effects, effect)
	}
	if p.Effects == nil && p.Before != p.After {
		p.Effects = []Effect{ChangesOther}
	}
	slices.SortFunc(p.Effects, byGravity)
	p.Effects = slices.Compact(p.Effects)
}

// Content names what is planned as Hash does, whatever documents it comes of.
func (p Plan) Content() string {
	p.Before, p.After, p.Hash = "", "", ""
	return p.hash()
}

// hash returns the SHA-256 of what is planned, in hexadecimal. Gateways of all
// versions must come to the same: it has what version 1 of the hash had.
func (p Plan) hash() string {
	p.At, p.Warnings = time.Time{}, nil
	p.Amendments = slices.Clone(p.Amendments)
	for i := range p.Amendments {
		p.Amendments[i].Dropped = nil
	}
	p.Moves = slices.Clone(p.Moves)
	for i := range p.Moves {
		p.Moves[i].From, p.Moves[i].Zone = p.Moves[i].From.UTC(), ""
	}
	text, err := json.Marshal(p)
	if err != nil {
		panic(err) // it has nothing that JSON hasn't
	}
	sum := sha256.Sum256(append([]byte("exitgate plan 1\n"), text...))
	return hex.EncodeToString(sum[:])
}
