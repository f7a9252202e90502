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
// without saying that they are: of Belgium, Estonia, Great Britain (without
// England, which has all the rest), Equatorial Guinea, Iceland and Indonesia.
// They are what ISO 3166-2 has as parent subdivision, compared with Debian's
// iso-codes 4.15; Húnabyggð, Múlaþing and Skagafjörður, which are newer, lie where
// the municipalities did that became them.
var regions = map[string]string{
	"BE-VLG": "VAN VBR VLI VOV VWV",
	"BE-WAL": "WBR WHT WLG WLX WNA",

	"EE-37": "141 198 245 296 305 338 353 424 431 446 651 653 719 726 784 890",
	"EE-39": "205",
	"EE-45": "130 251 321 442 511 514 735 803",
	"EE-50": "247 486 618",
	"EE-52": "255 567 834",
	"EE-56": "184 441 907",
	"EE-60": "191 272 661 663 792 901 903 928",
	"EE-64": "284 622 708",
	"EE-68": "214 303 430 624 638 712 809",
	"EE-71": "293 317 503 668",
	"EE-74": "478 689 714",
	"EE-79": "171 283 291 432 528 586 793 796",
	"EE-81": "557 824 855",
	"EE-84": "480 615 897 899",
	"EE-87": "142 698 732 917 919",

	"GB-NIR": "ABC AND ANN BFS CCG DRS FMO LBC MEA MUL NMD",
	"GB-SCT": `ABD ABE AGB ANS CLK DGY DND EAY EDH EDU ELN ELS ERW FAL FIF GLG
		HLD IVC MLN MRY NAY NLK ORK PKN RFW SAY SCB SLK STG WDU WLN ZET`,
	"GB-WLS": `AGY BGE BGW CAY CGN CMN CRF CWY DEN FLN GWN MON MTY NTL NWP PEM
		POW RCT SWA TOF VGL WRX`,

	"GQ-C": "CS DJ KN LI WN",
	"GQ-I": "AN BN BS",

	"IS-1": "GAR HAF KJO KOP MOS RKV SEL",
	"IS-2": "GRN RKN SDN SVG",
	"IS-3": "AKN BOG DAB EOM GRU HVA SKO SNF STY",
	"IS-4": "ARN BOL ISA KAL RHH SDV STR TAL VER",
	"IS-5": "HUG HUV SKG SKR SSS",
	"IS-6": "AKU DAV EYF FJL GRY HRG LAN NOR SBT THG TJO",
	"IS-7": "FJD FLR MUL SHF VOP",
	"IS-8": "ASA BLA FLA GOG HRU HVE MYR RGE RGY SFA SKF SOG SOL VEM",

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
