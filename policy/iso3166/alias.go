package iso3166

// Alias returns the code by which databases and laws know a place that ISO
// 3166-2 lists as a subdivision although ISO 3166-1 gives it a country code of
// its own: FR-974 is RE, US-PR is PR, CN-HK is HK. Databases locate by the
// latter, so a policy that names the former never matches anybody.
//
// The code is a country's, but for the three islands of BQ, which are its
// subdivisions: NL-BQ1 is BQ-BO. NO-21 and NO-22 are halves of SJ, for which
// there is no finer code.
func Alias(subdivision string) (code string, ok bool) {
	line, ok := aliases.find(subdivision)
	if !ok {
		return "", false
	}
	return second(line), true
}

// Current returns the code that ISO 3166-2 has today for the same place as one
// that it has withdrawn: for FR-75, FR-75C. Databases take up a new code years
// after ISO does, or never; whoever reads codes from one passes them through
// Current, so that policies need to know today's only. Of a place that was merged
// with others it is the code of the whole: NO-34 for NO-04. A code that wasn't
// withdrawn, or whose place was divided, is returned as it is.
func Current(subdivision string) string {
	line, ok := renamed.find(subdivision)
	if !ok {
		return subdivision
	}
	return second(line)
}

func second(line string) string { return line[len(codeOf(line))+1:] }

// aliases are the cross-entries of ISO 3166-2, which says of each "included
// also as country in ISO 3166-1", besides FR-GF, -GP, -MQ, -RE and -YT: the
// overseas regions, withdrawn in favour of FR-971 to -976.
const aliases table = `CN-HK HK
CN-MO MO
CN-TW TW
FI-01 AX
FR-971 GP
FR-972 MQ
FR-973 GF
FR-974 RE
FR-976 YT
FR-BL BL
FR-GF GF
FR-GP GP
FR-MF MF
FR-MQ MQ
FR-NC NC
FR-PF PF
FR-PM PM
FR-RE RE
FR-TF TF
FR-WF WF
FR-YT YT
NL-AW AW
NL-BQ1 BQ-BO
NL-BQ2 BQ-SA
NL-BQ3 BQ-SE
NL-CW CW
NL-SX SX
NO-21 SJ
NO-22 SJ
US-AS AS
US-GU GU
US-MP MP
US-PR PR
US-UM UM
US-VI VI
`

// renamed are codes that ISO 3166-2 changed, each for exactly one other, late
// enough for a database in use to have the old one. From the change lists of
// https://www.iso.org/obp/ui/#iso:code:3166:FR, GT, IN, KZ, MX, NO and ZA.
const renamed table = `FR-75 FR-75C
GT-AV GT-16
GT-BV GT-15
GT-CM GT-04
GT-CQ GT-20
GT-ES GT-05
GT-GU GT-01
GT-HU GT-13
GT-IZ GT-18
GT-JA GT-21
GT-JU GT-22
GT-PE GT-17
GT-PR GT-02
GT-QC GT-14
GT-QZ GT-09
GT-RE GT-11
GT-SA GT-03
GT-SM GT-12
GT-SO GT-07
GT-SR GT-06
GT-SU GT-10
GT-TO GT-08
GT-ZA GT-19
IN-CT IN-CG
IN-OR IN-OD
IN-TG IN-TS
IN-UT IN-UK
KZ-AKM KZ-11
KZ-AKT KZ-15
KZ-ALA KZ-75
KZ-AST KZ-71
KZ-ATY KZ-23
KZ-KUS KZ-39
KZ-KZY KZ-43
KZ-MAN KZ-47
KZ-PAV KZ-55
KZ-SEV KZ-59
KZ-SHY KZ-79
KZ-YUZ KZ-61
KZ-ZAP KZ-27
KZ-ZHA KZ-31
MX-DIF MX-CMX
NO-01 NO-31
NO-02 NO-32
NO-04 NO-34
NO-05 NO-34
NO-06 NO-33
NO-07 NO-39
NO-08 NO-40
NO-09 NO-42
NO-10 NO-42
NO-12 NO-46
NO-14 NO-46
NO-16 NO-50
NO-17 NO-50
NO-19 NO-55
NO-20 NO-56
ZA-GT ZA-GP
ZA-NL ZA-KZN
`
