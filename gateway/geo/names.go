package geo

import (
	"strings"
	"sync"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/iso3166"
)

// subdivisionNamed returns the code of a country's first-level subdivision by
// its name, as databases have it that give no codes, or nothing if the name
// isn't known, or means more than one. Who is located to the country alone is
// less of a harm than who is located to the wrong part of it.
func subdivisionNamed(of policy.Code, name string) policy.Code {
	if of == "" || name == "" {
		return ""
	}
	names := subdivisionNames()[of]
	folded := foldName(name)
	if code, known := names[folded]; known {
		return code
	}
	return names[withoutKind(folded)]
}

// subdivisionNames are the codes of first-level subdivisions by their countries
// and names; "" where several have one name. They are made when they are first
// asked for: most databases have codes.
var subdivisionNames = sync.OnceValue(func() map[policy.Code]map[string]policy.Code {
	all := make(map[policy.Code]map[string]policy.Code)
	for country := range iso3166.Countries() {
		names := make(map[string]policy.Code)
		add := func(name string, code policy.Code) {
			if before, known := names[name]; known && before != code {
				code = ""
			}
			names[name] = code
		}
		for s := range iso3166.Subdivisions(country.Code) {
			if s.Parent != "" {
				continue
			}
			folded := foldName(s.Name)
			add(folded, policy.Code(s.Code))
			if without := withoutKind(folded); without != folded {
				add(without, policy.Code(s.Code))
			}
		}
		all[policy.Code(country.Code)] = names
	}
	for line := range strings.Lines(englishNames) {
		country, entries, _ := strings.Cut(strings.TrimSpace(line), " ")
		for entry := range strings.SplitSeq(entries, ";") {
			name, code, _ := strings.Cut(strings.TrimSpace(entry), "=")
			if code == "" {
				all[policy.Code(country)][foldName(name)] = ""
			} else {
				all[policy.Code(country)][foldName(name)] = policy.Code(country + "-" + code)
			}
		}
	}
	return all
})

// foldName returns a name in lower case, without accents and punctuation.
func foldName(name string) string {
	var b strings.Builder
	space := false
	for _, r := range norm.NFKD.String(name) {
		switch {
		case unicode.Is(unicode.Mn, r), r == '\'', r == '’', r == '‘', r == 'ʻ', r == '`':
			continue
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if space && b.Len() > 0 {
				b.WriteByte(' ')
			}
			space = false
			b.WriteString(foldedLetter(unicode.ToLower(r)))
		default:
			space = true
		}
	}
	return b.String()
}

// foldedLetter returns what stands for a letter that isn't another one with an
// accent.
func foldedLetter(r rune) string {
	switch r {
	case 'ł':
		return "l"
	case 'ø':
		return "o"
	case 'ı':
		return "i"
	case 'đ', 'ð':
		return "d"
	case 'ß':
		return "ss"
	case 'æ':
		return "ae"
	}
	return string(r)
}

// withoutKind returns a folded name without the words for what it names. Those
// that tell a city from the land around it stay: Kyiv is not Kyiv Oblast.
func withoutKind(folded string) string {
	for _, before := range []string{"province of ", "provincia de ", "state of ", "county of ", "governorate of ", "republic of ", "region "} {
		folded = strings.TrimPrefix(folded, before)
	}
	for _, after := range []string{" province", " governorate", " county", " prefecture", " department", " voivodeship", " parish", " sheng", " shi", " lan", " judet"} {
		folded = strings.TrimSuffix(folded, after)
	}
	return folded
}

// englishNames are names in English, and others that databases use, of
// subdivisions that ISO 3166-2 lists by their own names. Nothing behind the sign
// is a name that means more than one.
const englishNames = `AE Abu Dhabi=AZ; Dubai=DU; Sharjah=SH; Ajman=AJ; Fujairah=FU; Ras al Khaimah=RK; Umm al Quwain=UQ
AT Carinthia=2; Lower Austria=3; Upper Austria=4; Styria=6; Tyrol=7; Vienna=9
BE Brussels=BRU; Brussels Capital=BRU; Brussels Capital Region=BRU; Flanders=VLG; Flemish Region=VLG; Wallonia=WAL; Walloon Region=WAL
CH Geneva=GE; Lucerne=LU; Grisons=GR; Basel City=BS; Basel Landschaft=BL; Saint Gallen=SG; St Gallen=SG; Zurich=ZH; Vaud=VD; Ticino=TI; Valais=VS; Fribourg=FR
CN Inner Mongolia=NM; Inner Mongolia Autonomous Region=NM; Tibet=XZ; Tibet Autonomous Region=XZ; Xinjiang=XJ; Guangxi=GX; Ningxia=NX
CZ Prague=10; Hlavni mesto Praha=10; Central Bohemia=20; Central Bohemian Region=20; South Bohemian Region=31; Plzen Region=32; South Moravian Region=64; Moravian Silesian Region=80
DE Bavaria=BY; Hesse=HE; Lower Saxony=NI; North Rhine Westphalia=NW; Rhineland Palatinate=RP; Saxony=SN; Saxony Anhalt=ST; Thuringia=TH; Mecklenburg Western Pomerania=MV; Land Berlin=BE; State of Berlin=BE; Free and Hanseatic City of Hamburg=HH
DK North Denmark=81; North Denmark Region=81; Central Denmark=82; Central Jutland=82; Central Denmark Region=82; South Denmark=83; Region of Southern Denmark=83; Capital Region=84; Capital Region of Denmark=84; Zealand=85; Region Zealand=85
EG Cairo=C; Alexandria=ALX; Giza=GZ
ES Andalusia=AN; Aragon=AR; Asturias=AS; Principality of Asturias=AS; Balearic Islands=IB; Basque Country=PV; Canary Islands=CN; Castille and Leon=CL; Castile and Leon=CL; Castille La Mancha=CM; Castile La Mancha=CM; Catalonia=CT; Madrid=MD; Community of Madrid=MD; Murcia=MC; Region of Murcia=MC; Navarre=NC; Navarra=NC; Valencia=VC; Valencian Community=VC
FI Uusimaa=18; Southwest Finland=19; Lapland=10; Pirkanmaa=11
FR Brittany=BRE; Corsica=20R; Normandy=NOR; New Aquitaine=NAQ; Auvergne Rhone Alpes=ARA; Burgundy Franche Comte=BFC; Centre Val de Loire=CVL; Grand Est=GES; Hauts de France=HDF; Ile de France=IDF; Occitanie=OCC; Pays de la Loire=PDL; Provence Alpes Cote d Azur=PAC
GR Attica=I; Crete=M; Central Macedonia=B; Western Greece=G
IE Leinster=L; Munster=M; Connaught=C; Ulster=U
IN Delhi=DL; National Capital Territory of Delhi=DL; Orissa=OD; Uttaranchal=UK; Pondicherry=PY; Puducherry=PY; Chhattisgarh=CG; Andaman and Nicobar=AN
IQ Baghdad=BG; Erbil=AR; Basra=BA; Nineveh=NI; Sulaymaniyah=SU; Duhok=DA; Kirkuk=KI; Anbar=AN; Najaf=NA
IR Tehran=23; Isfahan=10; East Azerbaijan=03; West Azerbaijan=04; Razavi Khorasan=09; Kurdistan=12
IT Piedmont=21; Aosta Valley=23; Lombardy=25; Trentino Alto Adige=32; Trentino Alto Adige Sudtirol=32; Trentino South Tyrol=32; Friuli Venezia Giulia=36; Tuscany=52; The Marches=57; Apulia=75; Sicily=82; Sardinia=88
JP Tokyo=13; Osaka=27; Kyoto=26; Hokkaido=01; Hyogo=28; Oita=44; Kochi=39
KR Seoul=11; Busan=26; Daegu=27; Incheon=28; Gwangju=29; Daejeon=30; Ulsan=31; Gyeonggi=41; Gangwon=42; North Chungcheong=43; South Chungcheong=44; North Jeolla=45; South Jeolla=46; North Gyeongsang=47; South Gyeongsang=48; Jeju=49; Sejong=50
MX Mexico City=CMX; Distrito Federal=CMX; State of Mexico=MEX; Mexico=; Michoacan=MIC; Coahuila=COA; Veracruz=VER; Queretaro=QUE
NL North Holland=NH; South Holland=ZH; North Brabant=NB
PE Lima=; Lima Province=; Lima Region=LIM; Callao=CAL
PL Lower Silesia=02; Kujawsko Pomorskie=04; Lublin=06; Lubusz=08; Lodz Voivodeship=10; Lesser Poland=12; Mazovia=14; Masovian=14; Opole Voivodeship=16; Subcarpathia=18; Podlasie=20; Pomerania=22; Silesia=24; Swietokrzyskie=26; Warmia Masuria=28; Greater Poland=30; West Pomerania=32
PT Lisbon=11; Azores=20; Madeira=30
RO Bucharest=B; Bucuresti=B
RU Moscow=MOW; Moscow Oblast=MOS; St Petersburg=SPE; Saint Petersburg=SPE; Leningrad Oblast=LEN; Leningradskaya Oblast=LEN; Tatarstan=TA; Dagestan=DA; Chechnya=CE; Bashkortostan=BA
SE Stockholm=AB; Vasterbotten=AC; Norrbotten=BD; Uppsala=C; Sodermanland=D; Ostergotland=E; Jonkoping=F; Kronoberg=G; Kalmar=H; Gotland=I; Skane=M; Halland=N; Vastra Gotaland=O; Varmland=S; Orebro=T; Vastmanland=U; Dalarna=W; Gavleborg=X; Vasternorrland=Y; Jamtland=Z
TR Istanbul=34; Izmir=35
UA Kyiv City=30; Kiev=; Kyiv=; Kyiv Oblast=32; Kyiv City Oblast=; Crimea=43; Republic of Crimea=43; Autonomous Republic of Crimea=43; Sevastopol City=40; Lviv=46; Lviv Oblast=46; Odesa=51; Odesa Oblast=51; Odessa=51; Kharkiv=63; Kharkiv Oblast=63; Donetsk Oblast=14; Donetsk=14; Luhansk=09; Luhansk Oblast=09; Kherson=65; Kherson Oblast=65; Zaporizhzhia=23; Zaporizhzhia Oblast=23; Dnipropetrovsk Oblast=12
US Washington D C=DC; Washington DC=DC; Washington, District of Columbia=DC
`
