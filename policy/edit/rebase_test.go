package edit_test

import (
	"testing"

	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/edit"
)

// Policies that are as empty as they can be, and not: whichever comes first, a change of
// one market is put on top of a change of another one, or refused.
func TestRebase_fromLittle(t *testing.T) {
	const none, empty = "version: 1\n", "version: 1\njurisdictions: {}\n"
	for name, c := range map[string]struct{ base, change, inForce, want string }{
		"the first entry, beside a comment": {none, none + "jurisdictions:\n  FR: {phase: announced, territories: none}\n", "# A policy.\n" + none, "# A policy.\nversion: 1\njurisdictions:\n  FR: {phase: announced, territories: none}\n"},
		"two first entries":                 {none, none + "jurisdictions:\n  IT: announced\n", none + "jurisdictions:\n  DE: announced\n", ""},
		"the first of an empty table":       {empty, none + "jurisdictions: {IT: announced}\n", none + "jurisdictions: {DE: announced}\n", ""},
		"the first notice":                  {none, none + "notices:\n  IT: {zone: Europe/Rome}\n", none + "jurisdictions:\n  DE: announced\n", ""},
		"the last entry gone":               {none + "jurisdictions:\n  IT: announced\n", none, none + "jurisdictions:\n  IT: announced\n  DE: announced\n", ""},
		"the same text":                     {none, none, none, none},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := edit.Rebase([]byte(c.base), []byte(c.change), []byte(c.inForce))
			if c.want != "" && string(got) != c.want {
				t.Errorf("%v\n%s, want\n%s", err, got, c.want)
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
