package policy

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// A DemandOutcome is how a policy stands to a demand.
type DemandOutcome string

const (
	DemandHarmless DemandOutcome = "harmless" // it breaks no guarantee
	DemandOver     DemandOutcome = "over"     // it was rejected or repealed
	DemandKept     DemandOutcome = "kept"     // it binds, and nothing is served against a guarantee
	DemandPrepared DemandOutcome = "prepared" // it doesn't bind; if it did, nothing would be
	DemandUnmet    DemandOutcome = "unmet"    // it doesn't bind; if it did, something would have to be withdrawn
)

// A DemandStatus is how a policy stands to one of its demands at a moment.
type DemandStatus struct {
	Name string `json:"name"`
	Demand
	// Binds reports whether it is law, from InForce on. Where one that is breaks a
	// guarantee, its jurisdiction is withdrawn by then: else the policy would be
	// wrong.
	Binds   bool          `json:"binds"`
	Breaks  []string      `json:"breaks,omitempty"` // the flags whose guarantee it breaks
	Outcome DemandOutcome `json:"outcome"`
	// DaysLeft are whole days until it comes into force, nil if that isn't known or
	// has been.
	DaysLeft *int `json:"days-left,omitempty"`
	// Served are places that would have to be withdrawn if it were in force: of one
	// that is unmet.
	Served []Code `json:"served,omitempty"`
	// Unenforced are places that it binds, and where no client can be found: who is
	// there is served.
	Unenforced []Code `json:"unenforced,omitempty"`
	Summary    string `json:"summary"`           // the outcome in words
	Missing    string `json:"missing,omitempty"` // what one that is unmet would take
}

// DemandStatuses returns how the policy stands to its demands at a moment, by name,
// with databases that can tell apart what by says.
func (p *Policy) DemandStatuses(at time.Time, by *Capability) []DemandStatus {
	unkept := p.Unkept(by)
	var all []DemandStatus
	for _, name := range slices.Sorted(maps.Keys(p.demands)) {
		s := p.demandStatus(name, at)
		if s.Outcome == DemandKept && len(unkept) > 0 {
			for _, code := range p.boundCodes(s.Demand) {
				if slices.Contains(unkept, code) {
					s.Unenforced = append(s.Unenforced, code)
				}
			}
		}
		all = append(all, s)
	}
	return all
}

func (p *Policy) demandStatus(name string, at time.Time) DemandStatus {
	d := p.demands[name]
	s := DemandStatus{Name: name, Demand: d, Binds: d.Binds(), Breaks: p.BrokenGuarantees(d)}
	if d.InForce.After(at) {
		s.DaysLeft = new(int(d.InForce.Sub(at) / (24 * time.Hour)))
	}
	broken := strings.Join(s.Breaks, ", ")
	switch {
	case d.Stage == Rejected || d.Stage == Repealed:
		s.Outcome, s.Summary = DemandOver, "requires nothing"
	case s.Breaks == nil:
		s.Outcome, s.Summary = DemandHarmless, "breaks no guarantee"
	case s.Binds:
		s.Outcome, s.Summary = DemandKept, fmt.Sprintf("breaks %s; kept: %s", broken, d.formatKept())
	default:
		p.setUnmet(&s, at)
	}
	return s
}

// formatKept says how the promise is kept under a demand that binds.
func (d Demand) formatKept() string {
	kept := fmt.Sprintf("%s is withdrawn", d.Jurisdiction)
	if d.Routes != nil {
		kept = fmt.Sprintf("%s refuses %s", d.Jurisdiction, strings.Join(d.Routes, ", "))
	}
	if !d.InForce.IsZero() {
		kept += " by then"
	}
	return kept
}

// setUnmet says of a demand that doesn't bind what is missing if it did, from its date
// on, or from now on.
func (p *Policy) setUnmet(s *DemandStatus, at time.Time) {
	bound := s.Demand
	if bound.InForce.Before(at) {
		bound.InForce = at
	}
	s.Outcome, s.Summary = DemandPrepared, "doesn't bind; would break "+strings.Join(s.Breaks, ", ")
	served := p.servedUnder(bound)
	for _, place := range served {
		s.Served = append(s.Served, place.Jurisdiction())
	}
	if served != nil {
		s.Outcome = DemandUnmet
		s.Missing = fmt.Sprintf("%s would have to be withdrawn; %s", joinPlaces(served), p.formatServed(served, bound))
	}
}
