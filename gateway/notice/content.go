package notice

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"golang.org/x/text/language"
	"golang.org/x/text/language/display"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/internal/zonedtime"
	"github.com/exitgate/exitgate/policy"
)

// content is what one notice says in one locale, whatever the format.
type content struct {
	Language, Dir string    // of the whole
	BuiltIn       langAttrs // of the built-in phrases

	Status  int
	Title   passage
	Lead    passage
	Since   time.Time // as it is dated there
	Sunset  time.Time
	Facts   []fact
	Because []demand
	Promise []quotation // what is guaranteed
	Phrases *phrases.Language
	// Addresses, empty without one.
	Export, Appeal, Blocked, SignIn, DeleteAccount, Refunds string
}

// Works returns what is still there beside the export, with its addresses.
func (c content) Works() []fact {
	all := []fact{{Label: c.Phrases.SignIn, Value: c.SignIn}, {Label: c.Phrases.DeleteAccount, Value: c.DeleteAccount}, {Label: c.Phrases.Refunds, Value: c.Refunds}}
	return slices.DeleteFunc(all, func(f fact) bool { return f.Value == "" })
}

// langAttrs are the attributes lang and dir of a part of a notice. They differ
// from those of the whole where the operator has texts in a language that isn't
// built in.
type langAttrs struct{ Language, Dir string }

// A passage is a text, by paragraphs, and its language.
type passage struct {
	langAttrs
	Paragraphs []string
}

func (p passage) String() string { return strings.Join(p.Paragraphs, "\n\n") }

// A fact is a line of the list of facts; Time is set for a date.
type fact struct {
	Label, Value string
	Time         time.Time
}

func (n *notice) content(locale int, hidden Hidden, cause policy.Cause, names func(policy.Code) string) content {
	d, own := n.decision, n.template.locales.all[locale]
	lang := n.template.locales.builtIn(locale, d.Jurisdiction)
	readBy := reader{own, d.Jurisdiction, ""}
	if d.Reason == policy.ByGuarantee {
		// The operator's texts are about the exit that the policy plans. This
		// is not that one, and their law may have nothing to do with it.
		own = builtInLocale(lang)
	}
	dated := datesIn(n.template.zone, d.Jurisdiction)
	builtIn := langAttrs{lang.Tag, lang.Dir}
	if own.phrases != nil {
		builtIn = langAttrs{own.name, own.dir}
	}
	readBy.around = builtIn.Language
	c := content{
		Language: own.name,
		Dir:      own.dir,
		BuiltIn:  builtIn,
		Status:   n.template.status,
		Since:    dated(d.Since),
		Sunset:   dated(d.Sunset),
		Because:  quoteDemands(disclose(cause.Demands, dated), readBy),
		Promise:  quoteStatements(cause.Statements, readBy),
		Blocked:  n.template.blockedBy,
		Phrases:  lang,
	}
	t := n.template
	for _, l := range []struct {
		into *string
		link link
	}{{&c.Appeal, t.appeal}, {&c.Export, t.export}, {&c.SignIn, t.signIn}, {&c.DeleteAccount, t.deleteAccount}, {&c.Refunds, t.refunds}} {
		if hidden&l.link.hides == 0 {
			*l.into = l.link.address
		}
	}

	message := messageOf(d, hidden, len(c.Because) > 0, lang)
	c.Title = passage{builtIn, []string{message.Title}}
	c.Lead = passage{builtIn, []string{message.Body}}
	where := placeName(place(d), lang, language.Make(builtIn.Language), names)
	if own.text != (policy.Text{}) {
		there := placeName(place(d), lang, own.tag, names)
		fill := strings.NewReplacer("{jurisdiction}", there, "{date}", day(own, c.Since)).Replace
		attrs := langAttrs{own.name, own.dir}
		if own.text.Title != "" {
			c.Title = passage{attrs, []string{fill(own.text.Title)}}
		}
		if own.text.Body != "" {
			c.Lead = passage{attrs, paragraphs(fill(own.text.Body))}
		}
	}

	if d.Phase == policy.ClosedToNew && !d.Feature {
		c.Export = "" // who has no account has nothing to take along
	}
	located := fact{Label: lang.Place, Value: where}
	if d.Reason == policy.ByUnknownPart {
		located.Label = lang.Status.UnknownPart
	}
	c.Facts = append(c.Facts, located)
	if !c.Since.IsZero() {
		c.Facts = append(c.Facts, fact{lang.Since, lang.Day(c.Since), c.Since})
	}
	if d.Phase < policy.Withdrawn && hidden&restBits != noneServed && !d.Sunset.IsZero() {
		c.Facts = append(c.Facts, fact{lang.Ends, lang.Day(c.Sunset), c.Sunset})
	}
	c.Facts = append(c.Facts, fact{Label: lang.Refused, Value: feature(message.What, d.Class)})
	return c
}

// datesIn returns what gives moments as they are dated in a jurisdiction: in the zone that
// they say, else in the one of its notices, else in its own, else in UTC.
func datesIn(zone string, code policy.Code) func(time.Time) time.Time {
	return func(t time.Time) time.Time {
		t = zonedtime.In(t, zone, policy.ZoneOf(code))
		if _, offset := t.Zone(); offset%60 != 0 { // before there were zones, which RFC 3339 can't write
			return t.UTC()
		}
		return t
	}
}

// why lists the causes as facts, for what has one line for each.
func (c content) why(put func(demand) string) []fact {
	var facts []fact
	for _, d := range c.Because {
		facts = append(facts, fact{Label: c.Phrases.Because, Value: put(d)})
	}
	for _, statement := range c.Promise {
		facts = append(facts, fact{Label: c.Phrases.Promise, Value: statement.Text})
	}
	return facts
}

// messageOf returns the message about what a decision refuses, without what is hidden,
// and whether the notice says because of what.
func messageOf(d *policy.Decision, hidden Hidden, because bool, lang *phrases.Language) phrases.Message {
	message := messageOfPhase(d, hidden&restBits, because, lang)
	if d.Reason == policy.ByUnknownPart {
		message.Body = lang.UnknownPart
	}
	return message
}

func messageOfPhase(d *policy.Decision, rest Hidden, because bool, lang *phrases.Language) phrases.Message {
	switch {
	case d.Reason == policy.ByGuarantee:
		message := lang.Withdrawn
		message.Body = lang.Withheld
		return message
	case rest == noneServed: // whatever refuses this one
	case d.Feature, rest == otherServed:
		message := lang.Feature
		if because {
			message.Body = lang.FeatureBecause
		}
		if rest == 0 {
			message.Body = joinSentences(message.Body, lang.Rest)
		} else {
			message.What = "{feature}"
		}
		return message
	case d.Phase == policy.ClosedToNew:
		message := lang.ClosedToNew
		if rest == 0 {
			message.Body = joinSentences(message.Body, lang.Accounts)
		}
		return message
	case d.Phase == policy.WindDown && (d.Sunset.IsZero() || d.Reason == policy.ByUnknownPart):
		return lang.Limited
	case d.Phase == policy.WindDown:
		return lang.WindDown
	}
	message := lang.Withdrawn
	switch place(d) {
	case policy.Unlocated, policy.Private, policy.Anonymous:
		message.Body = lang.Unplaced
	default:
		if because {
			message.Body = lang.WithdrawnBecause
		}
	}
	return message
}

// joinSentences puts a sentence behind others, as the language writes them.
func joinSentences(text, next string) string {
	if strings.HasSuffix(text, "。") {
		return text + next
	}
	return text + " " + next
}

// place returns the place that a notice names: the client's jurisdiction, or that
// it hides where it is if that is why it is refused.
func place(d *policy.Decision) policy.Code {
	if d.Reason == policy.ByAnonymity {
		return policy.Anonymous
	}
	return d.Jurisdiction
}

// placeName returns the name of a jurisdiction in a language, after CLDR; of a
// subdivision or group its English name, or its code if it has none.
func placeName(code policy.Code, lang *phrases.Language, tag language.Tag, names func(policy.Code) string) string {
	switch code {
	case policy.Unlocated:
		return lang.Unlocated
	case policy.Private:
		return lang.Private
	case policy.Anonymous:
		return lang.Anonymous
	case policy.Default:
		return lang.Status.Elsewhere
	}
	own := cmp.Or(names(code), string(code))
	alpha2, _, divided := strings.Cut(string(code), "-")
	country := countryName(alpha2, lang, tag)
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

func countryName(code string, lang *phrases.Language, tag language.Tag) string {
	// Two letters, lest an operator's group be taken for an alpha-3 code.
	if len(code) != 2 {
		return ""
	}
	region, err := language.ParseRegion(code)
	if err != nil {
		return ""
	}
	if name, ok := lang.Names[region.String()]; ok && sameLanguage(tag, language.Make(lang.Tag)) {
		return name
	}
	if namer := display.Regions(tag); namer != nil {
		if name := namer.Name(region); name != "" {
			return name
		}
	}
	return display.Regions(language.English).Name(region)
}

// day returns a date in the language of the operator's texts: in the built-in
// way if there is one, else as ISO 8601. Empty if there is no date.
func day(l locale, at time.Time) string {
	switch {
	case at.IsZero():
		return ""
	case l.phrases != nil:
		return l.phrases.Day(at)
	}
	return at.Format(time.DateOnly)
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
