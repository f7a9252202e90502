package notice_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/language"

	"github.com/exitgate/exitgate/gateway/notice"
	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// Issue 11, 2: what a notice says of the rest of the service is so for the client who
// reads it, by whatever else is refused there.
func TestWhatANoticeSaysOfTheRest(t *testing.T) {
	const (
		whole    = "This service is not available here"
		part     = "This part of the service is not available here"
		closed   = "New accounts can’t be opened here"
		closing  = "This service is closing here"
		limits   = "This service is limited here"
		rest     = "The rest of the service is not affected"
		accounts = "it continues to work"
		leave    = "what you need to leave is still offered"
		ends     = "Ends on"
		unknown  = "could not tell whether you are there"
		notKnown = "Part not known: "
	)
	said := []string{rest, accounts, leave, ends, unknown, notKnown, "We have withdrawn our service", "We have withdrawn this part", "The whole service"}
	const end = "{from: 2026-12-10T00:00:00Z, phase: withdrawn}"
	const announced = "{from: 2026-10-01T00:00:00Z, phase: announced}, "
	at := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		name, entries string
		place         policy.Code
		class, title  string
		says          []string // of said, and no other
		refused       string
	}{
		{"all is withdrawn", "{FR: withdrawn}", "FR", "other", whole, []string{"We have withdrawn our service", "The whole service"}, "The whole service"},
		{"one feature is, and nothing else", "{FR: {features: {news: withdrawn}}}", "FR", "news", part, []string{"We have withdrawn this part", rest}, "One part of the service: news"},
		{"two features are", "{FR: {features: {news: withdrawn, messages: withdrawn}}}", "FR", "news", part, []string{"We have withdrawn this part"}, "news"},
		{"one feature is, and the end of all is announced", "{FR: {schedule: [" + announced + end + "], features: {news: withdrawn}}}", "FR", "news", part, []string{"We have withdrawn this part"}, "news"},
		{"one feature is, and new accounts are closed", "{FR: {phase: closed-to-new, features: {messages: withdrawn}}}", "FR", "messages", part, []string{"We have withdrawn this part"}, "messages"},
		{"the export is, and all else is in wind-down", "{FR: {phase: wind-down, features: {export: withdrawn}}}", "FR", "export", whole, []string{"We have withdrawn our service", "The whole service"}, "The whole service"},
		{"all but the export is, by wind-down, and that is withdrawn", "{FR: {schedule: [{from: 2026-11-01T00:00:00Z, phase: wind-down}, " + end + "], features: {export: withdrawn}}}", "FR", "other", whole, []string{"We have withdrawn our service", "The whole service"}, "The whole service"},
		{"every feature is, one by one", "{FR: {features: {other: withdrawn, news: withdrawn, messages: withdrawn, export: withdrawn, sign-up: withdrawn}}}", "FR", "news", whole, []string{"We have withdrawn our service", "The whole service"}, "The whole service"},
		{"new accounts are closed", "{FR: closed-to-new}", "FR", "sign-up", closed, []string{accounts}, "New accounts"},
		{"new accounts are closed, and one feature is withdrawn", "{FR: {phase: closed-to-new, features: {export: withdrawn}}}", "FR", "sign-up", closed, nil, "New accounts"},
		{"new accounts are closed, and all else is withdrawn", "{FR: {phase: closed-to-new, features: {other: withdrawn, news: withdrawn, messages: withdrawn, export: withdrawn}}}", "FR", "sign-up", whole, []string{"We have withdrawn our service", "The whole service"}, "The whole service"},
		{"wind-down with an end", "{FR: {schedule: [{from: 2026-11-01T00:00:00Z, phase: wind-down}, " + end + "]}}", "FR", "other", closing, []string{leave, ends}, "Everything except what you need to leave"},
		{"it isn't known whether a client is in a part", "{US-MS: {phase: withdrawn, unknown-part: withhold}}", "US", "other", whole, []string{unknown, notKnown, "The whole service"}, "The whole service"},
		{"a client is in that part", "{US-MS: {phase: withdrawn, unknown-part: withhold}}", "US-MS", "other", whole, []string{"We have withdrawn our service", "The whole service"}, "The whole service"},
		{"it isn't known, and the part is closing", "{US-MS: {schedule: [{from: 2026-11-01T00:00:00Z, phase: wind-down}, " + end + "], unknown-part: withhold}}", "US", "other", limits, []string{unknown, notKnown, ends}, "Most of the service"},
		{"it isn't known, and a feature is withdrawn there", "{US-MS: {features: {news: withdrawn}, unknown-part: withhold}}", "US", "news", part, []string{unknown, notKnown}, "One part of the service: news"},
	} {
		t.Run(test.name, func(t *testing.T) {
			p, err := document.Read("policy.yaml", []byte("version: 1\nroutes: {news: [/news/], messages: [/messages/], export: [/account/export], sign-up: [/signup]}\njurisdictions: "+test.entries+"\n"))
			if err != nil {
				t.Fatal(err)
			}
			s, place := policy.Compile(p, nil, at), policy.PlaceOf(test.place)
			d := s.Decide(place, p.Class(test.class))
			set := newSet(t, policy.Notice{}, d)
			hidden := set.Hide(d, s.RestOf(place, d), func(string, string) bool { return false })
			text := string(set.For(d, hidden, []string{"text/plain"}, []string{"en"}, "", "").Body)
			if !strings.HasPrefix(text, test.title+"\n") || !strings.Contains(text, "\nNot available: "+test.refused+"\n") {
				t.Errorf("it says:\n%s", text)
			}
			for _, words := range said {
				if strings.Contains(text, words) != slices.Contains(test.says, words) {
					t.Errorf("it says %q: %v:\n%s", words, strings.Contains(text, words), text)
				}
			}
			var problem struct {
				UnknownPart bool `json:"unknown_part"`
			}
			if err := json.Unmarshal(set.For(d, hidden, []string{"application/json"}, nil, "", "").Body, &problem); err != nil || problem.UnknownPart != slices.Contains(test.says, unknown) {
				t.Errorf("unknown_part: %v, %v", problem.UnknownPart, err)
			}
		})
	}
}

// Whoever is refused one class by a demand on a place around theirs is served the rest.
func TestANoticeOfOneClassIsOfThatAlone(t *testing.T) {
	d := &policy.Decision{Action: policy.Refuse, Jurisdiction: "EE-37", Entry: "EE-37", Phase: policy.Withdrawn, Class: "news"}
	set := newSet(t, policy.Notice{}, d)
	hidden := set.Hide(d, policy.RestOpen, nil)
	text := string(set.For(d, hidden, []string{"text/plain"}, []string{"en"}, "", "").Body)
	if !strings.HasPrefix(text, "This part of the service is not available here\n") || strings.Contains(text, "whole") {
		t.Errorf("it says:\n%s", text)
	}
}

// Issue 11, 1: the public page calls wind-down closing where its end is public, as the
// notice does, and else limited, in every language.
func TestThePublicPageCallsWindDownClosingIfItsEndIsPublic(t *testing.T) {
	for _, lang := range phrases.All() {
		for _, sunset := range []time.Time{{}, december1} {
			market := policy.PublicMarket{Jurisdiction: "DE", Places: []policy.Code{"DE"}, Phase: policy.WindDown, Since: october1, Sunset: sunset}
			coming := market
			coming.Phase, coming.Next = policy.Announced, []policy.Step{{From: november1, Phase: policy.WindDown}}
			for _, m := range []policy.PublicMarket{market, coming} {
				s := notice.NewStatus([]policy.PublicMarket{m, elsewhere}, names)
				page := string(s.For(asOf, []string{"text/html"}, []string{language.Make(lang.Tag).String()}, nil).Body)
				closing, limited := strings.Contains(page, lang.Status.Phases[policy.WindDown]), strings.Contains(page, lang.Status.Limited)
				if closing == sunset.IsZero() || limited != sunset.IsZero() {
					t.Errorf("%s, %s, sunset %s: closing %v, limited %v", lang.Tag, m.Phase, sunset, closing, limited)
				}
			}
		}
	}
}
