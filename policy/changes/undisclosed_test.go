package changes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
)

// A change that makes a demand one that may not be disclosed hides it as long as it waits,
// and after that, whatever else comes into force meanwhile.
func TestUndisclosed_whileAChangeWaits(t *testing.T) {
	rules := strings.Replace(rules, "other: 0", "other: 1", 1)
	const law = "guarantees: {e2ee: {require: true}}\ndemands: {law: {jurisdiction: IT, stage: proposed, requires: {e2ee: false}%s}}\n"
	counsel := changes.Actor{Name: "cleo", Roles: []changes.Role{changes.Operator, changes.Counsel}}
	w := begun(t, rules+fmt.Sprintf(law, ""))
	w.must(w.proposes(counsel, proposing(rules+fmt.Sprintf(law, ", disclose: false"))))
	hidden := func(what string, want bool) {
		t.Helper()
		for how, s := range statesOf(t, w) {
			if slices.Contains(s.Undisclosed(), "law") != want {
				t.Errorf("%s%s: it knows %q", what, how, s.Undisclosed())
			}
		}
	}
	number := w.last().Number
	hidden("while it waits", true)
	w.must(w.proposes(oleg, emergency()))
	hidden("beside another revision", true)
	w.must(w.rejects(bob, number))
	hidden("once it is rejected", true)
	w.must(w.proposes(oleg, set("IT", policy.Withdrawn)))
	hidden("beside a revision that leaves it as it is", true)
}

// A demand that may not be disclosed is hidden by the revision that brings it at once, and
// as long as none that changes it discloses it.
func TestUndisclosed_byRevisions(t *testing.T) {
	const law = "guarantees: {e2ee: {require: true}}\ndemands: {law: {jurisdiction: IT, stage: %s, requires: {e2ee: false}%s}}\n"
	counsel := changes.Actor{Name: "cleo", Roles: []changes.Role{changes.Operator, changes.Counsel}}
	w := begun(t, rules)
	for _, step := range []struct {
		what, text string
		hidden     bool
	}{
		{"at once", fmt.Sprintf(law, "proposed", ", disclose: false"), true},
		{"taken out", "", true},
		{"in again, and disclosed", fmt.Sprintf(law, "proposed", ""), false},
		{"no longer disclosed", fmt.Sprintf(law, "proposed", ", disclose: false"), true},
		{"another stage, disclosed", fmt.Sprintf(law, "passed", ""), false},
	} {
		w.must(w.proposes(counsel, proposing(rules+step.text)))
		if w.last().Kind != changes.RevisionMade {
			t.Fatalf("%s: it isn't a revision", step.what)
		}
		if got := slices.Contains(w.s.Undisclosed(), "law"); got != step.hidden {
			t.Errorf("%s: it is hidden: %t", step.what, got)
		}
	}
}
