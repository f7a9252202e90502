package main

import "testing"

func TestASummarySaysWhatAMomentIsInItsPlace(t *testing.T) {
	for summary, want := range map[string]string{
		"FR open → withdrawn": "FR open → withdrawn",
		"proposes FR open → withdrawn from 2026-11-30T23:00Z; MX open → withdrawn from 2027-01-01": "proposes FR open → withdrawn from 2026-11-30T23:00Z (2026-12-01 00:00 in Europe/Paris); MX open → withdrawn from 2027-01-01 (2026-12-31 18:00 in America/Mexico_City)",
		"US-MS open → withdrawn from 2026-11-30T23:00Z":                                            "US-MS open → withdrawn from 2026-11-30T23:00Z (2026-11-30 18:00 in America/New_York)",
		"step of revision 3 at 2026-07-01T00:00:00Z: GB open → withdrawn":                          "step of revision 3 at 2026-07-01T00:00:00Z (2026-07-01 01:00 in Europe/London): GB open → withdrawn",
		"GB open → withdrawn from 2027-01-01":                                                      "GB open → withdrawn from 2027-01-01", // the same there
		"FR open → withdrawn from 2026-12-01T00:00+01:00":                                          "FR open → withdrawn from 2026-12-01T00:00+01:00 (2026-11-30T23:00:00Z)",
		"anonymous open → withdrawn from 2027-01-01":                                               "anonymous open → withdrawn from 2027-01-01",
	} {
		if got := withPlaceTimes(summary); got != want {
			t.Errorf("%s:\n%s, want\n%s", summary, got, want)
		}
	}
}
