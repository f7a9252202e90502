package edit_test

import (
	"testing"

	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/edit"
)

// However a policy is written, a change of one market is put on top of a change of
// another one; "" is where both change the same.
func TestRebase(t *testing.T) {
	const none, empty = "version: 1\n", "version: 1\njurisdictions: {}\n"
	for name, c := range map[string]struct{ base, change, inForce, want string }{
		"the first entry, beside a comment": {none, none + "jurisdictions:\n  FR: {phase: announced, territories: none}\n", "# A policy.\n" + none, "# A policy.\nversion: 1\njurisdictions:\n  FR: {phase: announced, territories: none}\n"},
		"two first entries":                 {none, none + "jurisdictions:\n  IT: announced\n", none + "jurisdictions:\n  DE: announced\n", none + "jurisdictions:\n  DE: announced\n  IT: announced\n"},
		"the first of an empty table":       {empty, none + "jurisdictions: {IT: announced}\n", none + "jurisdictions: {DE: announced}\n", none + "jurisdictions: {DE: announced, IT: announced}\n"},
		"the first notice":                  {none, none + "notices:\n  IT: {zone: Europe/Rome}\n", none + "jurisdictions:\n  DE: announced\n", none + "jurisdictions:\n  DE: announced\nnotices:\n  IT: {zone: Europe/Rome}\n"},
		"the last entry gone":               {none + "jurisdictions:\n  IT: announced\n", none, none + "jurisdictions:\n  IT: announced\n  DE: announced\n", none + "jurisdictions:\n  DE: announced\n"},
		"two in one line": {none + "jurisdictions: {CA: withdrawn} # our markets\n", none + "jurisdictions: {CA: withdrawn, IT: {phase: announced}} # our markets\n",
			none + "# A policy.\njurisdictions: {CA: withdrawn, DE: announced} # our markets\n", none + "# A policy.\njurisdictions: {CA: withdrawn, DE: announced, IT: {phase: announced}} # our markets\n"},
		"one of a line changes, another goes": {none + "jurisdictions: {CA: withdrawn, IT: announced, DE: open}\n", none + "jurisdictions: {CA: withdrawn, IT: withdrawn, DE: open}\n",
			none + "jurisdictions: {CA: withdrawn, IT: announced}\n", none + "jurisdictions: {CA: withdrawn, IT: withdrawn}\n"},
		"all in braces": {"{version: 1, jurisdictions: {CA: withdrawn}}\n", "{version: 1, jurisdictions: {}}\n", "{version: 1, jurisdictions: {CA: withdrawn, DE: announced}}\n", "{version: 1, jurisdictions: {DE: announced}}\n"},
		"a schedule in lines, and the first in braces": {none, none + "jurisdictions:\n    IT:\n        territories: none\n        schedule:\n            - {from: 2027-01-01T00:00:00Z, phase: withdrawn}\n", none + "jurisdictions:\n  DE: announced\n",
			none + "jurisdictions:\n  DE: announced\n  IT:\n    territories: none\n    schedule:\n        - {from: 2027-01-01T00:00:00Z, phase: withdrawn}\n"},
		"with carriage returns": {"version: 1\r\n", "version: 1\r\njurisdictions:\r\n  PT:\r\n    schedule:\r\n      - {from: 2027-06-01T00:00:00Z, phase: withdrawn}\r\n", "version: 1\r\njurisdictions:\r\n  CA: withdrawn\r\n",
			"version: 1\r\njurisdictions:\r\n  CA: withdrawn\r\n  PT:\r\n    schedule:\r\n      - {from: 2027-06-01T00:00:00Z, phase: withdrawn}\r\n"},
		"two of three in braces go": {none + "jurisdictions: {PT: withdrawn, CA: withdrawn, BR: withdrawn}\n", none + "jurisdictions: {BR: withdrawn}\n", none + "jurisdictions: {PT: withdrawn, CA: withdrawn, BR: withdrawn, PL: withdrawn}\n",
			none + "jurisdictions: {BR: withdrawn, PL: withdrawn}\n"},
		"all in braces go, and another comes": {none + "jurisdictions: {PT: withdrawn, CA: withdrawn}\n", none + "jurisdictions: {IT: withdrawn}\n", none + "jurisdictions: {PT: withdrawn, CA: withdrawn, PL: withdrawn}\n",
			none + "jurisdictions: {PL: withdrawn, IT: withdrawn}\n"},
		"the last in braces go": {none + "jurisdictions: {PT: withdrawn, CA: withdrawn}\n", none + "jurisdictions: {}\n", none + "jurisdictions: {PL: withdrawn, PT: withdrawn, CA: withdrawn}\n",
			none + "jurisdictions: {PL: withdrawn}\n"},
		"the only one in lines is gone": {none + "jurisdictions:\n  IT: withdrawn\nnotices: {IT: {zone: Europe/Rome}}\n", none + "jurisdictions:\n  IT: withdrawn\n  PT:\n    schedule:\n      - {from: 2027-06-01T00:00:00Z, phase: withdrawn}\nnotices: {IT: {zone: Europe/Rome}}\n", none + "jurisdictions: {}\nnotices: {IT: {zone: Europe/Rome}}\n",
			none + "jurisdictions:\n  PT:\n    schedule:\n      - {from: 2027-06-01T00:00:00Z, phase: withdrawn}\nnotices: {IT: {zone: Europe/Rome}}\n"},
		"lines into braces": {none + "jurisdictions: {}\n", none + "jurisdictions:\n  DE:\n    phase: withdrawn\n", none + "jurisdictions: {ES: withdrawn, PT: {phase: announced}} # ours\n", none + "jurisdictions: # ours\n  ES: withdrawn\n  PT: {phase: announced}\n  DE:\n    phase: withdrawn\n"},
		"the same entry":    {none + "jurisdictions: {CA: open}\n", none + "jurisdictions: {CA: withdrawn}\n", none + "jurisdictions: {CA: announced}\n", ""},
		"the same text":     {none, none, none, none},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := edit.Rebase([]byte(c.base), []byte(c.change), []byte(c.inForce))
			if c.want != "" && string(got) != c.want {
				t.Errorf("%v\n%s, want\n%s", err, got, c.want)
			}
			if c.want == "" && err == nil {
				t.Errorf("it is\n%s", got)
			}
			if err == nil {
				if _, err := document.Read("policy", got); err != nil {
					t.Errorf("%v:\n%s", err, got)
				}
			}
		})
	}
}

// Whatever three policies there are, nothing falls over: every gateway would, at the same
// record.
func FuzzRebase(f *testing.F) {
	const none = "version: 1\n"
	f.Add([]byte(none), []byte(none+"jurisdictions: {IT: announced}\n"), []byte(none+"jurisdictions: {DE: announced}\n"))
	f.Add([]byte(none+"jurisdictions:\n  IT: announced\n"), []byte(none), []byte(none+"notices: {IT: {zone: Europe/Rome}}\n"))
	f.Add([]byte(none+"jurisdictions: {CA: withdrawn}\n"), []byte(none+"jurisdictions: {CA: withdrawn, IT: announced}\n"), []byte(none+"jurisdictions: {CA: withdrawn, DE: announced}\n"))
	f.Add([]byte(""), []byte("{}"), []byte("jurisdictions: ~\n"))
	f.Fuzz(func(t *testing.T, base, change, inForce []byte) {
		got, err := edit.Rebase(base, change, inForce)
		if err != nil {
			return
		}
		if _, err := document.Read("policy", got); err != nil {
			t.Errorf("%v:\n%s", err, got)
		}
	})
}
