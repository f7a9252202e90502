package plan

import (
	"maps"
	"slices"
	"time"

	"github.com/exitgate/exitgate/policy"
)

// Traffic is a kind of requests, as far as a plan tells them apart.
type Traffic struct {
	Jurisdiction policy.Code // of the decision, by the policy in use
	Class        string      // by the policy in use
	Anonymous    bool        // the client hides where it is
	// UnknownPart: no more is known of where the client is than Jurisdiction, a
	// country or a part of one.
	UnknownPart bool
}

// An Impact is how many of the requests that were counted a plan would have
// decided otherwise.
type Impact struct {
	Requests uint64 `json:"requests"` // all that were counted
	Refused  uint64 `json:"refused"`  // served by the policy in use
	Served   uint64 `json:"served"`   // refused by the policy in use
	// Perhaps are further ones from jurisdictions of which the plan moves a
	// part that the policy in use doesn't distinguish.
	Perhaps uint64 `json:"perhaps,omitempty"`
	// Moves has, in step with the plan's moves, how many each of them would
	// decide otherwise when it comes.
	Moves []uint64 `json:"moves,omitempty"`
}

// Impact returns how many of the requests that were counted would have been
// decided otherwise. Only a Plan that New has returned can tell.
func (p Plan) Impact(counts map[Traffic]uint64) Impact {
	var impact Impact
	if len(p.Moves) > 0 {
		impact.Moves = make([]uint64, len(p.Moves))
	}
	byCode := make(map[policy.Code][]Traffic)
	for traffic, n := range counts {
		impact.Requests += n
		byCode[traffic.Jurisdiction] = append(byCode[traffic.Jurisdiction], traffic)
		switch was, is := p.before.refuses(traffic, p.At), p.after.refuses(traffic, p.At); {
		case was && !is:
			impact.Served += n
		case is && !was:
			impact.Refused += n
		case p.mayDiffer(traffic, was):
			impact.Perhaps += n
		}
	}
	for i, m := range p.Moves {
		at := p.At
		if !m.From.IsZero() {
			at = m.From
		}
		concerned := make(map[Traffic]bool)
		for _, code := range m.Jurisdictions {
			some := byCode[code]
			if code == policy.Anonymous {
				some = slices.DeleteFunc(slices.Collect(maps.Keys(counts)), func(t Traffic) bool { return !t.Anonymous })
			}
			for _, traffic := range some {
				if m.UnknownPart != p.movesApart(traffic) {
					continue
				}
				if m.Routes == nil || slices.Contains(m.Routes, traffic.Class) {
					concerned[traffic] = true
				}
			}
		}
		for traffic := range concerned {
			if p.before.refuses(traffic, at) != p.after.refuses(traffic, at) {
				impact.Moves[i] += counts[traffic]
			}
		}
	}
	return impact
}

// UnknownPartHits returns how many of the requests that were counted came from clients
// who may be in a part of a country or not, and how many of these would be refused at
// a moment if its entry withheld it from them.
func UnknownPartHits(p *policy.Policy, flags policy.Flags, at time.Time, part policy.UnsaidPart, counts map[Traffic]uint64) (located, refused uint64) {
	serve := newProjection(p.WithUnknownPart(part.Entry, policy.ServePart), flags)
	withhold := newProjection(p.WithUnknownPart(part.Entry, policy.WithholdPart), flags)
	for traffic, n := range counts {
		if !traffic.UnknownPart || traffic.Jurisdiction != part.Country {
			continue
		}
		located += n
		if !serve.refuses(traffic, at) && withhold.refuses(traffic, at) {
			refused += n
		}
	}
	return located, refused
}

// movesApart reports whether requests are of clients of whom no more is known than
// the jurisdiction, and who don't move along with it.
func (p Plan) movesApart(t Traffic) bool {
	return t.UnknownPart && slices.Contains(p.UnknownParts, t.Jurisdiction)
}

// refuses reports whether requests are refused at a moment.
func (f *projection) refuses(t Traffic, at time.Time) bool {
	class := f.classes[f.policy.Class(t.Class)]
	where := f.outcome(t.Jurisdiction)
	if t.UnknownPart {
		where = f.unknownPart(t.Jurisdiction)
	}
	return where.timeline(class).at(at).Refuses(class) ||
		t.Anonymous && f.outcome(policy.Anonymous).timeline(class).at(at).Refuses(class)
}

// mayDiffer reports whether the plan would decide requests otherwise at once if
// they came from some part of their jurisdiction that the policy in use doesn't
// tell apart.
func (p Plan) mayDiffer(t Traffic, refused bool) bool {
	country := policy.PlaceOf(t.Jurisdiction).Country
	if t.UnknownPart {
		return false
	}
	class := p.after.classes[p.after.policy.Class(t.Class)]
	for _, code := range p.partlyKnown() { // of some only the region may be known
		if region := policy.PlaceOf(code); region.Country == country && code != country && p.before.outcome(code).jurisdiction == t.Jurisdiction &&
			p.after.unknownPart(code).timeline(class).at(p.At).Refuses(class) != p.before.unknownPart(code).timeline(class).at(p.At).Refuses(class) {
			return true
		}
	}
	for _, code := range p.after.distinct[country] {
		part := Traffic{Jurisdiction: code, Class: t.Class, Anonymous: t.Anonymous}
		if code != t.Jurisdiction && p.before.outcome(code).jurisdiction == t.Jurisdiction && p.after.refuses(part, p.At) != refused {
			return true
		}
	}
	return false
}
