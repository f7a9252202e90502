package policy

import (
	"cmp"
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
	DemandPrepared DemandOutcome = "prepared" // it doesn't bind, and if it did, nothing would be; or it never can
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
	// SuspendedUntil is until when it is suspended: from then on it binds again.
	SuspendedUntil time.Time `json:"suspended-until,omitzero"`
	// Begins is when it comes, or came, into force, and while it is suspended when it binds
	// again: of several dates the first on which it breaks a guarantee, or else the first;
	// zero if none is known.
	Begins time.Time `json:"begins,omitzero"`
	// NextDate is the next of its dates, on which it comes into force, binds again, or
	// requires something else; zero if none is ahead. DaysLeft are the whole days until
	// then.
	NextDate time.Time `json:"next-date,omitzero"`
	DaysLeft *int      `json:"days-left,omitempty"`
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
	s := DemandStatus{Name: name, Demand: d, Binds: d.Binds(), Breaks: p.BrokenGuarantees(d), SuspendedUntil: d.SuspendedUntil()}
	if d.Stage != Suspended || !s.SuspendedUntil.IsZero() { // else no date is known
		s.Begins = p.beginningOf(d, d.notBeforeEnd)
	}
	if next := d.nextDate(at); !s.Begins.IsZero() && !next.IsZero() && !d.Stage.IsOver() && d.Kind != Informal {
		s.NextDate = next
		s.DaysLeft = new(int(next.Sub(at) / (24 * time.Hour)))
	}
	if until := s.SuspendedUntil; !until.IsZero() && !until.After(at) {
		s.Demand, s.SuspendedUntil = d.At(at), time.Time{}
		s.Begins = p.beginningOf(d, d.cameIntoForce)
	}
	var open []Duty
	for _, duty := range d.Duties() {
		if !duty.Binds() && p.BrokenGuarantees(duty.Demand) != nil {
			open = append(open, duty)
		}
	}
	switch {
	case d.Stage.IsOver():
		s.Outcome, s.Summary = DemandOver, "requires nothing"
	case s.Breaks == nil:
		s.Outcome, s.Summary = DemandHarmless, "breaks no guarantee"
	case open == nil:
		s.Outcome, s.Summary = DemandKept, p.formatKept(d)
	default:
		p.setUnmet(&s, open, at)
	}
	return s
}

// A DemandDate is a date that is said with how far a demand has come: what is then, as
// "until" or "from", and when.
type DemandDate struct {
	What string
	Date time.Time
}

// Dates returns the dates that are said with how far the demand has come. The last is
// NextDate, if it has one.
func (s DemandStatus) Dates() []DemandDate {
	next := DemandDate{"from", s.NextDate}
	switch until := s.SuspendedUntil; {
	case !until.IsZero() && !s.NextDate.After(until):
		return []DemandDate{{"until", until}}
	case !until.IsZero():
		return []DemandDate{{"until", until}, {"binds from", s.NextDate}}
	case s.Outcome == DemandOver, s.Stage == Suspended:
		return nil
	case s.NextDate.IsZero() && s.InForce.IsZero():
		return nil
	case s.NextDate.IsZero():
		return []DemandDate{{"from", s.InForce}}
	}
	var first time.Time
	for _, duty := range s.Duties() {
		first = earliest(first, duty.InForce)
		if duty.InForce.IsZero() {
			next.What = "more from"
		}
	}
	if first.Before(s.NextDate) {
		return []DemandDate{{"from", first}, {"more from", s.NextDate}}
	}
	return []DemandDate{next}
}

// nextDate returns the first date after a moment on which the demand binds, or would
// with what it requires; zero if there is none.
func (d Demand) nextDate(at time.Time) time.Time {
	var next time.Time
	for _, duty := range d.Duties() {
		if duty.InForce.After(at) {
			next = earliest(next, duty.InForce)
		}
	}
	return next
}

// beginningOf returns when a demand comes, or came, into force, each of its dates as
// suspensions change it: see DemandStatus.Begins.
func (p *Policy) beginningOf(d Demand, suspended func(date time.Time) time.Time) time.Time {
	var first, breaking time.Time
	for i, duty := range d.Duties() {
		date := cmp.Or(d.Requires[i].From, d.InForce)
		if d.Stage == Suspended {
			date = suspended(date)
		}
		first = earliest(first, date)
		if p.BrokenGuarantees(duty.Demand) != nil {
			breaking = earliest(breaking, date)
		}
	}
	return cmp.Or(breaking, first)
}

// earliest returns the earlier of two times that are known, of which the zero one isn't.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// formatKept says how the promise is kept under a demand that binds, on each of its dates.
func (p *Policy) formatKept(d Demand) string {
	duties := d.Duties()
	slices.SortStableFunc(duties, func(a, b Duty) int { return a.InForce.Compare(b.InForce) })
	var parts []string
	for _, duty := range duties {
		from := ""
		if len(duties) > 1 && !duty.InForce.IsZero() {
			from = "from " + duty.InForce.Format(time.RFC3339) + " "
		}
		part := from + "breaks no guarantee"
		if broken := p.BrokenGuarantees(duty.Demand); broken != nil {
			part = fmt.Sprintf("%sbreaks %s; kept: %s", from, strings.Join(broken, ", "), duty.formatWithheld())
		}
		parts = append(parts, part)
	}
	return strings.Join(parts, "; ")
}

// formatWithheld says what is refused under a demand that binds.
func (d Demand) formatWithheld() string {
	kept := fmt.Sprintf("%s is withdrawn", d.Jurisdiction)
	if d.Routes != nil {
		kept = fmt.Sprintf("%s refuses %s", d.Jurisdiction, strings.Join(d.Routes, ", "))
	}
	if !d.InForce.IsZero() {
		kept += " by then"
	}
	return kept
}

// setUnmet says of what doesn't bind in a demand what is missing if it did, from its
// date on, or from now on.
func (p *Policy) setUnmet(s *DemandStatus, open []Duty, at time.Time) {
	s.Outcome = DemandPrepared
	s.Summary = "doesn't bind; would break " + strings.Join(s.Breaks, ", ")
	if s.Kind == Informal {
		s.Summary = "is informal and never binds; would break " + strings.Join(s.Breaks, ", ")
		return
	}
	for _, duty := range open {
		bound := duty.Demand
		if bound.InForce.Before(at) {
			bound.InForce = at
		}
		served := p.servedUnder(bound)
		for _, place := range served {
			if code := place.Jurisdiction(); !slices.Contains(s.Served, code) {
				s.Served = append(s.Served, code)
			}
		}
		if served != nil && s.Missing == "" {
			s.Outcome = DemandUnmet
			s.Missing = fmt.Sprintf("%s would have to be withdrawn; %s", joinPlaces(served), p.formatServed(served, bound))
		}
	}
}
