package main

import (
	"fmt"
	"slices"
	"strings"
)

// correct makes good what the source has wrong, by code. It fails when a
// correction no longer applies, so that none outlives its error.
func correct(names, parents map[string]string) error {
	for code := range strings.FieldsSeq(withdrawn) {
		if names[code] == "" {
			return fmt.Errorf("correction: the source no longer has %s", code)
		}
		delete(names, code)
		delete(parents, code)
	}
	for code, name := range missing {
		if names[code] != "" {
			return fmt.Errorf("correction: the source now has %s", code)
		}
		names[code] = name
	}
	for code, name := range names {
		// Notes about Western Sahara that aren't part of the names.
		for _, note := range []string{" (EH)", " (EH-partial)"} {
			name = strings.TrimSuffix(name, note)
		}
		names[code] = name
	}
	for parent, children := range regions {
		for code := range strings.FieldsSeq(children) {
			code = parent[:3] + code
			if names[code] == "" || parents[code] != "" {
				return fmt.Errorf("correction: the source has no %s, or has its parent", code)
			}
			parents[code] = parent
		}
	}
	for code := range names {
		if strings.HasPrefix(code, "GB-") && parents[code] == "" && !slices.Contains(nations, code) {
			parents[code] = "GB-ENG"
		}
	}
	return nil
}

// withdrawn are codes that ISO 3166-2 no longer has: the Danish counties of
// before 2007, Brong-Ahafo (divided in 2019), the Luxembourg districts
// (abolished in 2015), the tribal areas of Pakistan (merged in 2018).
const withdrawn = `
	DK-015 DK-020 DK-025 DK-030 DK-035 DK-040 DK-042 DK-050 DK-055 DK-060
	DK-065 DK-070 DK-076 DK-080 DK-101 DK-147
	GH-BA
	LU-D LU-G LU-L
	PK-TA`

// missing are the Norwegian counties of 2024, by the numbers of Statistics
// Norway (https://www.ssb.no/klass/klassifikasjoner/104), which ISO 3166-2:NO
// and the databases go by. The source has only those that they came from
// (NO-30, NO-38, NO-54); these stay, for databases that do too.
var missing = map[string]string{
	"NO-31": "Østfold",
	"NO-32": "Akershus",
	"NO-33": "Buskerud",
	"NO-39": "Vestfold",
	"NO-40": "Telemark",
	"NO-55": "Troms",
	"NO-56": "Finnmark",
}

// regions are the first-level subdivisions whose parts the source lists
// without saying that they are: of Belgium, Great Britain (without England,
// which has all the rest), Equatorial Guinea and Indonesia.
var regions = map[string]string{
	"BE-VLG": "VAN VBR VLI VOV VWV",
	"BE-WAL": "WBR WHT WLG WLX WNA",

	"GB-NIR": "ABC AND ANN BFS CCG DRS FMO LBC MEA MUL NMD",
	"GB-SCT": `ABD ABE AGB ANS CLK DGY DND EAY EDH EDU ELN ELS ERW FAL FIF GLG
		HLD IVC MLN MRY NAY NLK ORK PKN RFW SAY SCB SLK STG WDU WLN ZET`,
	"GB-WLS": `AGY BGE BGW CAY CGN CMN CRF CWY DEN FLN GWN MON MTY NTL NWP PEM
		POW RCT SWA TOF VGL WRX`,

	"GQ-C": "CS DJ KN LI WN",
	"GQ-I": "AN BN BS",

	"ID-JW": "BT JB JI JK JT YO",
	"ID-KA": "KB KI KS KT KU",
	"ID-ML": "MA MU",
	"ID-NU": "BA NB NT",
	"ID-PP": "PA PB PD PE PS PT",
	"ID-SL": "GO SA SG SN SR ST",
	"ID-SM": "AC BB BE JA KR LA RI SB SS SU",
}

// nations are the subdivisions of Great Britain that aren't a part of a
// nation: the four, and what statistics sums up.
var nations = []string{"GB-ENG", "GB-NIR", "GB-SCT", "GB-WLS", "GB-EAW", "GB-GBN", "GB-UKM"}
