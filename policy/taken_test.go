package policy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/internal/policytest"
)

var (
	beforeExit = time.Date(2030, 5, 1, 0, 0, 0, 0, time.UTC)
	exit       = time.Date(2030, 6, 1, 0, 0, 0, 0, time.UTC)
)

// taking returns what the last of some policies gives, which took each other's place: the
// first one by a clock that has come to the exit, the others by one that was set back.
func taking(t *testing.T, texts ...string) (*policy.Snapshot, policy.TakenSteps) {
	t.Helper()
	var s *policy.Snapshot
	var taken policy.TakenSteps
	at := exit
	for _, text := range texts {
		p := reading(t, text).WithTaken(taken)
		s, taken, at = policy.Compile(p, nil, at), p.TakenAt(at), beforeExit
	}
	return s, taken
}

// reading reads a policy as a ledger's.
func reading(t *testing.T, text string) *policy.Policy {
	t.Helper()
	p, err := document.Read("policy.yaml", []byte(expandExit(text)))
	if err != nil {
		t.Fatalf("%v\n%s", err, expandExit(text))
	}
	return p
}

// expandExit writes EXIT out: a schedule that withdraws.
func expandExit(text string) string {
	return "version: 1\n" + strings.ReplaceAll(text, "EXIT", "schedule: [{from: 2030-06-01T00:00:00Z, phase: withdrawn}]")
}

// Issue 10, B7: what a place gets by a step that it has taken it goes on to get, by
// whatever entry of another text.
func TestAStepTakenIsOfThePlace(t *testing.T) {
	const gang = "groups: {gang: [FR, LU]}\njurisdictions: {gang: {EXIT}}\n"
	const law = "guarantees: {e: {require: true}}\ndemands: {NAME: {jurisdiction: EE-37, stage: adopted, in-force: 2030-06-01T00:00:00Z, requires: {e: false}}}\n" +
		"jurisdictions: {EE-37: {phase: withdrawn, unknown-part: serve}, EE-784: open}\n"
	const news = "routes: {news: [/news/], press: [/press/]}\njurisdictions: "
	for name, test := range map[string]struct {
		texts []string
		want  string // place phase, ...
	}{
		"a group renamed":            {[]string{gang, "groups: {gong: [FR, LU]}\njurisdictions: {gong: {EXIT}}\n"}, "FR withdrawn, LU withdrawn, DE open"},
		"a country for a group":      {[]string{gang, "jurisdictions: {FR: {EXIT}}\n"}, "FR withdrawn, LU open"},
		"beside the group":           {[]string{gang, gang[:len(gang)-2] + ", FR: {EXIT}}\n"}, "FR withdrawn, LU withdrawn"},
		"a group split":              {[]string{gang, "groups: {gang: [LU, BE], gung: [FR]}\njurisdictions: {gang: {EXIT}, gung: {EXIT}}\n"}, "FR withdrawn, LU withdrawn, BE open"},
		"a built-in group":           {[]string{gang, "jurisdictions: {EU: {EXIT}}\n"}, "FR withdrawn, LU withdrawn, DE open"},
		"a country for the default":  {[]string{"jurisdictions: {default: {EXIT}}\n", "jurisdictions: {FR: {EXIT}}\n"}, "FR withdrawn, LU open"},
		"beside the default":         {[]string{"jurisdictions: {default: {EXIT}}\n", "jurisdictions: {default: {EXIT}, FR: {EXIT}}\n"}, "FR withdrawn, LU withdrawn, unlocated withdrawn, private withdrawn"},
		"the default for a country":  {[]string{"jurisdictions: {FR: {EXIT}}\n", "jurisdictions: {default: {EXIT}}\n"}, "FR withdrawn, LU open, unlocated open"},
		"a territory by itself":      {[]string{"jurisdictions: {FR: {territories: all, EXIT}}\n", "jurisdictions: {FR: {territories: none, EXIT}, RE: {EXIT}}\n"}, "FR withdrawn, RE withdrawn, GP open"},
		"a territory that joins":     {[]string{"jurisdictions: {FR: {territories: [RE], EXIT}}\n", "jurisdictions: {FR: {territories: all, EXIT}}\n"}, "FR withdrawn, RE withdrawn, GP open"},
		"a subdivision by itself":    {[]string{gang, "jurisdictions: {FR-IDF: {EXIT, unknown-part: serve}}\n"}, "FR-IDF withdrawn, FR-75C withdrawn, FR open"},
		"an exception that ends":     {[]string{"jurisdictions: {FR: {EXIT}, FR-IDF: open}\n", "jurisdictions: {FR: {EXIT}}\n"}, "FR withdrawn, FR-ARA withdrawn, FR-IDF open, FR-75C open"},
		"a part of a part":           {[]string{"groups: {city: [FR-75C]}\njurisdictions: {city: {EXIT, unknown-part: serve}}\n", "jurisdictions: {FR-IDF: {EXIT, unknown-part: serve}}\n"}, "FR-75C withdrawn, FR-IDF open, FR open"},
		"of who may be in a part":    {[]string{"jurisdictions: {US-MS: {EXIT, unknown-part: withhold}}\n", "jurisdictions: {US: {EXIT}}\n"}, "US-MS withdrawn, US withdrawn"},
		"who hides":                  {[]string{"jurisdictions: {anonymous: {EXIT}}\n", "jurisdictions: {anonymous: {EXIT}, DE: {EXIT}}\n"}, "anonymous withdrawn, DE open"},
		"a feature of another name":  {[]string{news + "{FR: {features: {news: {EXIT}}}}\n", news + "{FR: {features: {press: {EXIT}}}}\n"}, "FR/press withdrawn, FR/news open, FR open"},
		"the whole for a feature":    {[]string{news + "{FR: {features: {news: {EXIT}}}}\n", "jurisdictions: {FR: {EXIT}}\n"}, "FR withdrawn"},
		"a demand of another name":   {[]string{strings.Replace(law, "NAME", "x", 1), strings.Replace(law, "NAME", "y", 1)}, "EE-784 withdrawn, EE-37 withdrawn, EE open"},
		"without a date in between":  {[]string{gang, "jurisdictions: {FR: withdrawn}\n", gang}, "FR withdrawn, LU open"},
		"less without a date":        {[]string{gang, "jurisdictions: {FR: announced}\n", gang}, "FR open, LU open"},
		"open in between":            {[]string{gang, "jurisdictions: {FR: open}\n", gang}, "FR open, LU open"},
		"postponed, and put forward": {[]string{gang, strings.ReplaceAll(expandExit(gang)[len("version: 1\n"):], "06-01", "07-01"), gang}, "FR open, LU open"},
		"put forward":                {[]string{gang, strings.ReplaceAll(expandExit(gang)[len("version: 1\n"):], "06-01", "05-20")}, "FR withdrawn, LU withdrawn"},
	} {
		t.Run(name, func(t *testing.T) {
			running, taken := taking(t, test.texts...)
			kept, err := json.Marshal(taken)
			if err != nil {
				t.Fatal(err)
			}
			var read policy.TakenSteps
			if err := json.Unmarshal(kept, &read); err != nil {
				t.Fatal(err)
			}
			restarted := policy.Compile(reading(t, test.texts[len(test.texts)-1]).WithTaken(read), nil, beforeExit)
			for how, s := range map[string]*policy.Snapshot{"running": running, "restarted": restarted} {
				for want := range strings.SplitSeq(test.want, ", ") {
					where, phase, _ := strings.Cut(want, " ")
					code, class, _ := strings.Cut(where, "/")
					place := policy.PlaceOf(policy.Code(code))
					if code == "anonymous" {
						place = policy.Place{Country: "JP", Anonymous: true}
					}
					if got := s.Decide(place, s.Policy().Class(class)).Phase.String(); got != phase {
						t.Errorf("%s, %s is %s, not %s; taken: %s", how, where, got, phase, kept)
					}
				}
			}
		})
	}
}

// What is said of an entry is so in all of its places: those that have come further are
// said by themselves.
func TestMarketsThatHaveComeFurtherAreListed(t *testing.T) {
	s, _ := taking(t, "jurisdictions: {FR: {EXIT}}\n", "groups: {gang: [FR, LU]}\njurisdictions: {gang: {EXIT}}\n")
	got := make(map[policy.Code]string)
	for _, m := range s.Markets() {
		got[m.Jurisdiction] = fmt.Sprint(m.Phase, " by ", m.Reason, ", ", len(m.Next), " to come")
	}
	if want := map[policy.Code]string{"gang": "open by group, 1 to come", "FR": "withdrawn by group, 0 to come"}; !maps.Equal(got, want) {
		t.Errorf("markets are %v, want %v", got, want)
	}
}

// rewrite says what a spec says, mostly, in another way.
func rewrite(t *rapid.T, s policytest.Spec) policytest.Spec {
	s.Groups, s.Entries = maps.Clone(s.Groups), maps.Clone(s.Entries)
	named := slices.Sorted(maps.Keys(s.Entries))
	if len(named) == 0 {
		return s
	}
	code := rapid.SampledFrom(named).Draw(t, "rewritten")
	entry := s.Entries[code]
	members := s.Groups[code]
	if code != "GB-nations" { // of which the small world lacks one
		members = append(slices.Clip(members), policytest.BuiltInGroups[code]...)
	}
	alone := entry
	alone.Territories, alone.Withhold = false, false
	switch rapid.SampledFrom([]string{"rename", "members", "beside", "split", "group", "default", "territories", "features", "drop", "undated", "anew"}).Draw(t, "how") {
	case "rename":
		if s.Groups[code] != nil {
			s.Groups["gamma"], s.Entries["gamma"] = s.Groups[code], entry
			delete(s.Groups, code)
			delete(s.Entries, code)
		}
	case "members":
		for _, member := range members {
			s.Entries[member] = alone
		}
		if members != nil {
			delete(s.Entries, code)
		}
	case "beside":
		if members != nil {
			s.Entries[rapid.SampledFrom(members).Draw(t, "member")] = alone
		}
	case "split":
		if group := s.Groups[code]; len(group) > 1 {
			s.Groups[code], s.Groups["gamma"], s.Entries["gamma"] = group[1:], group[:1], entry
		}
	case "group":
		if slices.Contains(policytest.Countries, code) {
			s.Groups["gamma"], s.Entries["gamma"] = []string{code, "BE"}, alone
			delete(s.Entries, code)
		}
	case "default":
		for _, country := range s.World {
			if _, has := s.Entries[country]; !has && code == "default" {
				s.Entries[country] = entry
			}
		}
	case "territories":
		if entry.Territories {
			entry.Territories = false
			s.Entries[code] = entry
			s.Entries["RE"], s.Entries["GP"], s.Entries["GI"] = alone, alone, alone
		}
	case "features":
		if entry.Routes == nil && entry.Features == nil && slices.Contains(s.Routes, "news") {
			entry.Features = map[string][]policytest.Step{"news": {{From: policytest.Times[1], Phase: "withdrawn"}}}
			s.Entries[code] = entry
		}
	case "drop":
		delete(s.Entries, code)
	case "undated":
		entry.Steps = []policytest.Step{{Phase: entry.Steps[len(entry.Steps)-1].Phase}}
		s.Entries[code] = entry
	case "anew":
		s.Entries[code] = policytest.DrawEntry(t, code, s.Routes)
	}
	return s
}

// Issue 10, B7: however a policy is rewritten, and wherever the clock is set, a place
// that has taken a step has come at least as far in what is in force next.
func TestNoRewrittenPolicyGoesBehindAStepTaken(t *testing.T) {
	places := append(policytest.RealPlaces(policytest.Countries), policy.Place{}, policy.Place{Private: true})
	places = append(places, policytest.Unnamed...)
	dates := make([]time.Time, len(policytest.Times))
	for i, text := range policytest.Times {
		dates[i] = policytest.Date(text)
	}
	checked := 0
	rapid.Check(t, func(t *rapid.T) {
		spec := policytest.Specs.Draw(t, "spec")
		clock := policytest.Moments.Draw(t, "clock")
		p := parseSpec(t, spec)
		s, taken, latest := policy.Compile(p, nil, clock), p.TakenAt(clock), clock
		for range rapid.IntRange(1, 3).Draw(t, "rewritings") {
			next := spec
			for range rapid.IntRange(1, 3).Draw(t, "changes") {
				next = rewrite(t, next)
			}
			p, err := document.Parse("policy.yaml", []byte(next.Document()))
			if err != nil {
				continue
			}
			clock = policytest.Moments.Draw(t, "clock")
			if clock.After(latest) {
				latest = clock
			}
			p = p.WithTaken(taken)
			is := policy.Compile(p, nil, clock)
			for _, place := range places {
				for request, class := range policytest.Requests {
					before, now := of(policytest.Ask(t, s, place, request)), of(policytest.Ask(t, is, place, request))
					read := func(spec policytest.Spec, at time.Time) policytest.Verdict {
						v, _ := spec.Read(place, class, at)
						return v
					}
					least := read(next, clock)
					for _, date := range dates {
						step := read(spec, date)
						if step != read(spec, date.Add(-1)) && !step.StricterThan(before) && read(next, date).StricterThan(least) {
							least = read(next, date)
							checked++
						}
					}
					if most := read(next, latest); least.StricterThan(now) || now.StricterThan(most) {
						t.Fatalf("%v from %+v at %v gets %v: at least %v, at most %v; before %v; taken %v\n%s\nthen\n%s", request, place, clock, now, least, most, before, taken, spec.Document(), next.Document())
					}
				}
			}
			spec, s, taken = next, is, p.TakenAt(clock)
			again := policy.Compile(parseSpec(t, next).WithTaken(taken), nil, clock)
			if changes := policy.Differences(s, again); changes != nil {
				t.Fatalf("a gateway that starts decides otherwise: %v", changes)
			}
			if more := again.Policy().TakenAt(clock); !maps.Equal(taken, more) {
				t.Fatalf("%v were taken, and by who starts %v", taken, more)
			}
		}
	})
	if checked == 0 && !testing.Short() {
		t.Error("no step was taken early")
	}
}
