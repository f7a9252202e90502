package document_test

import (
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy/document"
)

// A stage is written down when a demand has come to it.
func TestCheckDates(t *testing.T) {
	now := time.Date(2026, 11, 27, 12, 0, 0, 0, time.UTC)
	for stages, want := range map[string]string{
		"{stage: adopted, date: 2026-11-28}":                                     "", // it is in Kiritimati
		"{stage: adopted, date: 2026-11-29}":                                     "yet to come",
		"{stage: suspended, date: 2026-11-27, until: 2026-11-26T00:00:00+01:00}": "ended before",
		"{stage: suspended, date: 2026-11-27, until: 2026-11-27T00:00:00+01:00}": "",
		"{stage: suspended, until: 2020-11-27T00:00:00+01:00}":                   "",
		"{stage: repealed, in-force: 2127-01-01T00:00:00Z}":                      "doesn't come into force",
		"{stage: rejected}, {stage: revived, in-force: 2127-01-01T00:00:00Z}":    "",
	} {
		text := "version: 1\ndemands: {law: {jurisdiction: FR, territories: none, requires: {e2ee: false}, stages: [" + stages + "]}}\n"
		p, err := document.Read("policy", []byte(text))
		if err != nil {
			t.Fatalf("%s: %v", stages, err)
		}
		err = document.CheckDates("policy", p, now)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", stages, err, want)
		}
	}
}
