package main

// territories are the countries of ISO 3166-1 that belong to another, by the
// rule that the documentation of package iso3166 states. ISO's Online Browsing
// Platform (https://www.iso.org/obp/ui/#iso:code:3166:RE) marks each as not
// independent; whose it is comes from the source named beside it.
var territories = map[string]string{
	// Australia's external territories: the Acts named after them, and
	// https://www.infrastructure.gov.au/territories-regions-cities/territories
	"AU": "CC CX HM NF",

	// Special administrative regions under article 31 of the constitution;
	// ISO 3166-2:CN lists both. It lists TW too, which is left out: see the
	// documentation of the package.
	"CN": "HK MO",

	// The Community of the Realm: Home Rule Act of the Faroe Islands of 1948,
	// Act on Greenland Self-Government of 2009.
	"DK": "FO GL",

	// Act on the Autonomy of Åland; ISO 3166-2:FI lists it as FI-01.
	"FI": "AX",

	// Constitution of 1958, articles 72-3 and 77; ISO 3166-2:FR lists all.
	"FR": "BL GF GP MF MQ NC PF PM RE TF WF YT",

	// British overseas territories: British Nationality Act 1981, schedule 6
	// (which writes out IO, of which a treaty of 22 May 2025 cedes the Chagos
	// Archipelago to MU once it is in force). Crown dependencies: GG IM JE.
	"GB": "AI BM FK GG GI GS IM IO JE KY MS PN SH TC VG",

	// Charter for the Kingdom of the Netherlands, article 1: AW, CW and SX
	// are countries of the Kingdom, BQ is three islands of the country of the
	// Netherlands; ISO 3166-2:NL lists all.
	"NL": "AW BQ CW SX",

	// Svalbard Act of 1925, Jan Mayen Act of 1930, Dependencies Act of 1930;
	// ISO 3166-2:NO lists SJ as NO-21 and NO-22.
	"NO": "BV SJ",

	// Tokelau Act 1948. Not CK and NU: see the documentation of the package.
	"NZ": "TK",

	// U.S. Department of the Interior, Office of Insular Affairs, definitions
	// of insular area political organizations; ISO 3166-2:US lists all.
	"US": "AS GU MP PR UM VI",
}
