// Package phrases holds what a notice says, in every built-in language: the
// sentences, the labels, the names of months and how a date is written. Each
// language is a table in a file of its own; a translator begins with a copy of
// en.go, and the test names what is missing.
//
// A place's name never stands inside a sentence. Most languages inflect it or
// choose another preposition (en France, au Japon, aux États-Unis), so it has
// a line of its own beside a label.
package phrases

import (
	"strconv"
	"strings"
	"time"
)

// A Language is the wording in one language. Its fields are never empty, save
// First and Names.
type Language struct {
	Tag  string // BCP 47
	Dir  string // ltr or rtl
	Name string // the language's own name

	Colon string // between a label and what it labels, with its spaces
	Date  string // {day}, {month} and {year}
	First string // how the first day of a month is written, if not 1
	Month [12]string

	// What is refused.
	Withdrawn, ClosedToNew, WindDown, Feature Message
	// Limited is said instead of WindDown where no end is public: a market may be
	// closing, or coming back.
	Limited Message
	// What is said instead of Withdrawn.Body and Feature.Body where a demand may be
	// named that it is because of. These tell nothing of there being one.
	WithdrawnBecause, FeatureBecause string
	// Rest is said after Feature.Body or FeatureBecause where nothing else of the service
	// is restricted, and Accounts after ClosedToNew.Body where nothing else is refused.
	Rest, Accounts string
	// UnknownPart is said instead of any Body where it isn't known in which part of the
	// place a client is, and one of these is restricted.
	UnknownPart string
	// Unplaced is said instead of Withdrawn.Body where the place is not one
	// that law speaks for: unlocated, private, anonymous.
	Unplaced string
	// Withheld is said instead of Withdrawn.Body where the service can't be
	// offered as promised, whatever the reason: it blames nobody.
	Withheld string

	// What is still there for who is refused.
	StillWorks, SignIn, DeleteAccount, Refunds string

	// The labels of the facts.
	Place, Since, Ends, Refused string

	// The labels of why: of the demands, of the guarantees' statements, and of
	// the date of a demand. The demands' stages.
	Because, Promise, InForce string
	Stages                    Stages

	// What a reader can do.
	WrongPlace, HowToAppeal, Appeal string
	HowToExport, Export             string
	BlockedBy                       string

	// Places that no map has.
	Unlocated, Private, Anonymous string

	Status Status

	// Names replaces names in CLDR 32, the edition that x/text carries, where
	// a country has changed its name since, by ISO 3166-1 code.
	Names map[string]string
}

// A Message says what is refused.
type Message struct {
	Title string
	Body  string
	What  string // short, beside the label Refused; {feature} in that of a feature
}

// Stages names how far a law or an order has come.
type Stages struct {
	Proposed, Passed, Revived, Adopted, InForce, Suspended, Rejected, Repealed string
}

// A Status is the wording of the public status page.
type Status struct {
	Title     string
	Unlimited string // instead of a list: nothing is restricted
	Place     string
	Phase     string
	Since     string
	Next      string
	Only      string // {feature}: the classes that an entry is limited to
	Elsewhere string // the last line: everything that isn't listed
	// UnknownPart labels the places of which it also holds for those of whom it
	// isn't known in which part they are.
	UnknownPart string
	AsOf        string // labels the time of the page
	Version     string // labels that of what it says
	Programs    string
	// Phases names the phases in the order of policy.Phases.
	Phases [5]string
	// Limited names wind-down where no end is public, as Language.Limited does.
	Limited string
}

// All returns the built-in languages, English first.
func All() []*Language { return languages[:] }

var languages = [...]*Language{
	&english, &french, &german, &spanish, &portuguese, &italian, &russian, &arabic, &turkish,
	&chinese, &traditionalChinese, &japanese, &hindi, &indonesian,
	&dutch, &polish, &swedish, &greek, &czech, &romanian, &hungarian, &ukrainian, &korean, &europeanPortuguese,
}

// Day returns the day of t, in its own zone, as the language writes it.
func (l *Language) Day(t time.Time) string {
	year, month, day := t.Date()
	written := strconv.Itoa(day)
	if day == 1 && l.First != "" {
		written = l.First
	}
	return strings.NewReplacer(
		"{day}", written,
		"{month}", l.Month[month-1],
		"{year}", strconv.Itoa(year),
	).Replace(l.Date)
}
