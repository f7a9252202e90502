package notice

import (
	"cmp"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
)

// words is what one notice says in one language, before it takes the shape of
// a format.
type words struct {
	Language, Dir string // of the whole
	Frame         voice  // of the built-in wording

	Status  int
	Title   passage
	Lead    passage
	Works   []string // what a market in wind-down still gets
	Facts   []fact
	Because []demand
	Promise []string // what is guaranteed, in the operator's words
	Export  string   // addresses, empty without one
	Appeal  string
	Blocked string
	Say     *phrases.Book
}

// A voice is the language of a part of a notice. It is another than that of
// the whole where the operator has words in a language that isn't built in.
type voice struct{ Language, Dir string }

// A passage is a text in its voice, by paragraphs.
type passage struct {
	voice
	Paragraphs []string
}

func (p passage) String() string { return strings.Join(p.Paragraphs, "\n\n") }

// A fact is a line of the list of facts; Time is set for a date.
type fact struct {
	Label, Value string
	Time         time.Time
}

func (p *page) words(t int, cause policy.Cause, names func(policy.Code) string) words {
	d, own := p.decision, p.edition.tongues.all[t]
	say := p.edition.tongues.frame(t, d.Jurisdiction)
	if d.Reason == policy.ByGuarantee {
		// The operator's words are about the exit that the policy plans. This
		// is not that one, and their law may have nothing to do with it.
		own = tongue{tag: language.Make(say.Tag), name: say.Tag, dir: say.Dir, book: say}
	}
	frame := voice{say.Tag, say.Dir}
	if own.book != nil {
		frame = voice{own.name, own.dir}
	}
	w := words{
		Language: own.name,
		Dir:      own.dir,
		Frame:    frame,
		Status:   p.edition.status,
		Because:  disclose(cause.Demands),
		Promise:  statements(cause.Statements),
		Appeal:   p.edition.appeal,
		Export:   p.edition.export,
		Blocked:  p.edition.blockedBy,
		Say:      say,
	}

	refusal := refusalOf(d, say)
	w.Title = passage{frame, []string{refusal.Title}}
	w.Lead = passage{frame, []string{refusal.Body}}
	where := placeName(place(d), say, language.Make(frame.Language), names)
	if own.text != (policy.Text{}) {
		there := placeName(place(d), say, own.tag, names)
		fill := strings.NewReplacer("{jurisdiction}", there, "{date}", day(own, d.Since)).Replace
		voice := voice{own.name, own.dir}
		if own.text.Title != "" {
			w.Title = passage{voice, []string{fill(own.text.Title)}}
		}
		if own.text.Body != "" {
			w.Lead = passage{voice, paragraphs(fill(own.text.Body))}
		}
	}

	if d.Phase == policy.WindDown && !d.Feature {
		w.Works = []string{say.SignIn, say.ExportData, say.DeleteAccount, say.Refunds}
	}
	if d.Phase == policy.ClosedToNew && !d.Feature {
		w.Export = "" // who has no account has nothing to take along
	}
	w.Facts = append(w.Facts, fact{Label: say.Place, Value: where})
	if !d.Since.IsZero() {
		w.Facts = append(w.Facts, fact{say.Since, say.Day(d.Since), d.Since})
	}
	if d.Phase < policy.Withdrawn && !d.Sunset.IsZero() {
		w.Facts = append(w.Facts, fact{say.Ends, say.Day(d.Sunset), d.Sunset})
	}
	w.Facts = append(w.Facts, fact{Label: say.Refused, Value: feature(refusal.What, d.Class)})
	return w
}

// why lists the causes as facts, for what has one line for each.
func (w words) why(put func(demand) string) []fact {
	var facts []fact
	for _, d := range w.Because {
		facts = append(facts, fact{Label: w.Say.Because, Value: put(d)})
	}
	for _, statement := range w.Promise {
		facts = append(facts, fact{Label: w.Say.Promise, Value: statement})
	}
	return facts
}

// refusalOf says what a decision refuses.
func refusalOf(d *policy.Decision, say *phrases.Book) phrases.Refusal {
	switch {
	case d.Reason == policy.ByGuarantee:
		refusal := say.Withdrawn
		refusal.Body = say.Withheld
		return refusal
	case d.Feature:
		return say.Feature
	case d.Phase == policy.ClosedToNew:
		return say.ClosedToNew
	case d.Phase == policy.WindDown:
		return say.WindDown
	}
	refusal := say.Withdrawn
	switch place(d) {
	case policy.Unlocated, policy.Private, policy.Anonymous:
		refusal.Body = say.Unplaced
	}
	return refusal
}

// place is the place that a notice names: the client's jurisdiction, or that
// it hides where it is if that is why it is refused.
func place(d *policy.Decision) policy.Code {
	if d.Reason == policy.ByAnonymity {
		return policy.Anonymous
	}
	return d.Jurisdiction
}

// placeName names a jurisdiction in a language, as CLDR does; a subdivision
// or group by its English name, or its code if it has none.
func placeName(code policy.Code, say *phrases.Book, tag language.Tag, names func(policy.Code) string) string {
	switch code {
	case policy.Unlocated:
		return say.Unlocated
	case policy.Private:
		return say.Private
	case policy.Anonymous:
		return say.Anonymous
	}
	own := cmp.Or(names(code), string(code))
	alpha2, _, divided := strings.Cut(string(code), "-")
	country := countryName(alpha2, say, tag)
	switch {
	case country == "":
		return own
	case !divided:
		return country
	case own == string(code):
		return country + " (" + own + ")"
	}
	return own + " (" + country + ")"
}

func countryName(code string, say *phrases.Book, tag language.Tag) string {
	// Two letters, lest an operator's group be taken for an alpha-3 code.
	if len(code) != 2 {
		return ""
	}
	region, err := language.ParseRegion(code)
	if err != nil {
		return ""
	}
	if name, ok := say.Names[region.String()]; ok && sameLanguage(tag, language.Make(say.Tag)) {
		return name
	}
	if namer := display.Regions(tag); namer != nil {
		if name := namer.Name(region); name != "" {
			return name
		}
	}
	return display.Regions(language.English).Name(region)
}

// day writes a date in the language of the operator's words: in the built-in
// way if there is one, else as ISO 8601. Empty if there is no date.
func day(t tongue, at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case t.book != nil:
		return t.book.Day(at)
	}
	return at.UTC().Format(time.DateOnly)
}

func feature(phrase, class string) string {
	return strings.ReplaceAll(phrase, "{feature}", class)
}

// paragraphs splits a text at its empty lines.
func paragraphs(text string) []string {
	var all []string
	for p := range strings.SplitSeq(strings.ReplaceAll(text, "\r\n", "\n"), "\n\n") {
		if p = strings.TrimSpace(p); p != "" {
			all = append(all, p)
		}
	}
	return all
}
