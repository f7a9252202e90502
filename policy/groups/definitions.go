package groups

type definition struct{ name, title, members, source, asOf string }

// The members of the European Union, and of those of their territories that
// have a country code of their own the ones that are part of it all the same:
//
//   - GF GP MF MQ RE YT: outermost regions, where the Treaties apply (TFEU,
//     articles 349 and 355(1); for YT by European Council Decision
//     2012/419/EU, from 2014-01-01). The others, the Canaries, the Azores and
//     Madeira, are located as ES and PT.
//   - AX: the Treaties apply with derogations that concern land, business and
//     indirect taxes (TFEU, article 355(4); Act of Accession of 1994,
//     protocol 2).
//
// The overseas countries and territories of TFEU, annex II, are only
// associated with it: AW BL BQ CW GL NC PF PM SX TF WF; BL by European Council
// Decision 2010/718/EU, from 2012-01-01. FO is neither (article 355(5)).
const (
	euStates      = "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK"
	euTerritories = "AX GF GP MF MQ RE YT"
)

// definitions are sorted by name.
var definitions = [...]definition{
	{
		name:    "ASEAN",
		title:   "Association of Southeast Asian Nations",
		members: "BN ID KH LA MM MY PH SG TH TL VN", // TL since 2025-10-26
		source:  "ASEAN Charter, article 4, and Declaration on the Admission of Timor-Leste of 2025-10-26; https://asean.org/member-states/",
		asOf:    "2025-10-26",
	},
	{
		// EH is a member as the Sahrawi Republic, though Morocco controls most
		// of it. A state whose government is suspended stays a member.
		name:  "African-Union",
		title: "African Union",
		members: `AO BF BI BJ BW CD CF CG CI CM CV DJ DZ EG EH ER ET GA GH GM GN GQ GW KE KM LR LS LY
			MA MG ML MR MU MW MZ NA NE NG RW SC SD SL SN SO SS ST SZ TD TG TN TZ UG ZA ZM ZW`,
		source: "Constitutive Act of the African Union; https://au.int/en/member_states/countryprofiles2",
		asOf:   "2026-01-01",
	},
	{
		name:    "Andean-Community",
		title:   "Andean Community",
		members: "BO CO EC PE",
		source:  "Cartagena Agreement, article 5; https://www.comunidadandina.org/",
		asOf:    "2026-01-01",
	},
	{
		name:    "Benelux",
		title:   "Benelux Union",
		members: "BE LU NL", // the Netherlands' part in Europe only
		source:  "Treaty revising the Treaty establishing the Benelux Economic Union of 2008-06-17; https://www.benelux.int/",
		asOf:    "2026-01-01",
	},
	{
		name:    "CPTPP",
		title:   "Comprehensive and Progressive Agreement for Trans-Pacific Partnership",
		members: "AU BN CA CL GB JP MX MY NZ PE SG VN", // those that it is in force for; GB since 2024-12-15
		source:  "CPTPP, article 3, and the United Kingdom's accession protocol of 2023-07-16; https://www.mfat.govt.nz/en/trade/free-trade-agreements/free-trade-agreements-in-force/cptpp",
		asOf:    "2026-01-01",
	},
	{
		name:  "Commonwealth",
		title: "Commonwealth of Nations",
		members: `AG AU BB BD BN BS BW BZ CA CM CY DM FJ GA GB GD GH GM GY IN JM KE KI KN LC LK LS MT MU MV MW
			MY MZ NA NG NR NZ PG PK RW SB SC SG SL SZ TG TO TT TV TZ UG VC VU WS ZA ZM`, // GA and TG since 2022
		source: "Charter of the Commonwealth; https://thecommonwealth.org/our-member-countries",
		asOf:   "2026-01-01",
	},
	{
		name:  "Council-of-Europe",
		title: "Council of Europe",
		members: `AD AL AM AT AZ BA BE BG CH CY CZ DE DK EE ES FI FR GB GE GR HR HU IE IS IT LI LT LU LV MC MD
			ME MK MT NL NO PL PT RO RS SE SI SK SM TR UA`, // RU not since 2022-03-16
		source: "Statute of the Council of Europe, article 26, and Resolution CM/Res(2022)2; https://www.coe.int/en/web/portal/members-states",
		asOf:   "2026-01-01",
	},
	{
		name:    "EAEU",
		title:   "Eurasian Economic Union",
		members: "AM BY KG KZ RU",
		source:  "Treaty on the Eurasian Economic Union of 2014-05-29; http://www.eaeunion.org/?lang=en#about-countries",
		asOf:    "2026-01-01",
	},
	{
		// Where EU law on the internal market holds, and with it the GDPR.
		// It holds where the EU's Treaties do (article 126, and Finland's
		// notice for AX), but not in Svalbard (protocol 40); so SJ is out,
		// though Jan Mayen is in.
		name:    "EEA",
		title:   "European Economic Area",
		members: euStates + " " + euTerritories + " IS LI NO",
		source:  "Agreement on the European Economic Area, article 126 and protocol 40; https://www.efta.int/eea-relations-eu/eea-agreement",
		asOf:    "2026-01-01",
	},
	{
		name:    "EFTA",
		title:   "European Free Trade Association",
		members: "CH IS LI NO",
		source:  "EFTA Convention; https://www.efta.int/about-efta",
		asOf:    "2026-01-01",
	},
	{
		name:    "EU",
		title:   "European Union",
		members: euStates + " " + euTerritories, // HR since 2013-07-01; GB not since 2020-02-01
		source:  "TEU, article 52, and TFEU, articles 349 and 355; https://european-union.europa.eu/principles-countries-history/eu-countries_en",
		asOf:    "2026-01-01",
	},
	{
		// In the territories as in the EU: the Treaties apply there, and with
		// them the euro. The states that use it by agreement (AD MC SM VA) or
		// without one (ME XK) aren't part of it, nor are BL and PM.
		name:    "Eurozone",
		title:   "Euro area",
		members: "AT BE BG CY DE EE ES FI FR GR HR IE IT LT LU LV MT NL PT SI SK " + euTerritories, // HR since 2023, BG since 2026
		source:  "TFEU, articles 136 and 140; for BG Council Decision of 2025-07-08; https://economy-finance.ec.europa.eu/euro/what-euro-area_en",
		asOf:    "2026-01-01",
	},
	{
		name:    "Five-Eyes",
		title:   "Five Eyes",
		members: "AU CA GB NZ US",
		source:  "UKUSA Agreement of 1946-03-05, as the National Security Agency released it in 2010; https://law.yale.edu/mfia/case-disclosed/newly-disclosed-documents-five-eyes-alliance-and-what-they-tell-us-about-intelligence-sharing",
		asOf:    "2026-01-01",
	},
	{
		name:    "GB-nations",
		title:   "Nations of the United Kingdom",
		members: "GB-ENG GB-NIR GB-SCT GB-WLS",
		source:  "ISO 3166-2:GB; https://www.iso.org/obp/ui/#iso:code:3166:GB",
		asOf:    "2026-01-01",
	},
	{
		name:    "GCC",
		title:   "Cooperation Council for the Arab States of the Gulf",
		members: "AE BH KW OM QA SA",
		source:  "Charter of the Gulf Cooperation Council of 1981-05-25, article 5; https://www.gcc-sg.org/en/AboutUs/MemberStates/",
		asOf:    "2026-01-01",
	},
	{
		// VE is suspended since 2017-08-05 from all that membership means
		// (Ushuaia protocol), so it isn't here.
		name:    "Mercosur",
		title:   "Southern Common Market",
		members: "AR BO BR PY UY", // BO since 2024
		source:  "Treaty of Asunción, and Bolivia's accession protocol of 2015-07-17; https://www.mercosur.int/en/about-mercosur/mercosur-countries/",
		asOf:    "2026-01-01",
	},
	{
		name:    "NATO",
		title:   "North Atlantic Treaty Organization",
		members: "AL BE BG CA CZ DE DK EE ES FI FR GB GR HR HU IS IT LT LU LV ME MK NL NO PL PT RO SE SI SK TR US", // FI since 2023, SE since 2024
		source:  "North Atlantic Treaty; https://www.nato.int/en/about-us/organization/nato-member-countries",
		asOf:    "2026-01-01",
	},
	{
		// Of FR and NL the parts in Europe only (Schengen Convention, article
		// 138), of NO not Svalbard, so SJ is out; AX is in, as nothing excepts it.
		name:    "Schengen",
		title:   "Schengen area",
		members: "AT BE BG CH CZ DE DK EE ES FI FR GR HR HU IS IT LI LT LU LV MT NL NO PL PT RO SE SI SK AX", // BG and RO in full since 2025-01-01
		source:  "Regulation (EU) 2016/399, and Council Decision (EU) 2024/3212; https://home-affairs.ec.europa.eu/policies/schengen/schengen-area_en",
		asOf:    "2026-01-01",
	},
	{
		name:    "USMCA",
		title:   "United States–Mexico–Canada Agreement",
		members: "CA MX US",
		source:  "Agreement between the United States of America, the United Mexican States, and Canada, in force since 2020-07-01; https://ustr.gov/usmca",
		asOf:    "2026-01-01",
	},
}
