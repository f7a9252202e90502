package notice

import (
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
)

// A publicDemand is what of a policy.Demand is public, in all its languages. What
// it requires is not among that: the guarantees' statements say it in words for
// people.
type publicDemand struct {
	Title     policy.Words `json:"title,omitempty"`
	Authority policy.Words `json:"authority,omitempty"`
	Source    string       `json:"source,omitempty"` // http or https
	// Stage and InForce are of what can bind: an informal letter has neither.
	Stage   policy.Stage      `json:"stage,omitempty"`
	InForce time.Time         `json:"in-force,omitzero"`
	Kind    policy.Instrument `json:"kind,omitempty"`
}

// A demand is a publicDemand in the words for one reader.
type demand struct {
	Title     quotation         `json:"title,omitzero"`
	Authority quotation         `json:"authority,omitzero"`
	Source    string            `json:"source,omitempty"`
	Stage     policy.Stage      `json:"stage,omitempty"`
	InForce   time.Time         `json:"in-force,omitzero"`
	Kind      policy.Instrument `json:"kind,omitempty"`
}

// disclose returns what of demands is public: nothing of one that may not be
// disclosed, whoever passed it on, nor of one that has no name. Dates are given in a zone.
func disclose(all []policy.Demand, dated func(time.Time) time.Time) []publicDemand {
	var public []publicDemand
	for _, d := range all {
		title, authority := wordsInOneLine(d.Title), wordsInOneLine(d.Authority)
		if d.Disclosed() && (title != nil || authority != nil) {
			is := publicDemand{Title: title, Authority: authority, Source: webAddress(d.Source), Kind: d.Kind}
			if d.Kind != policy.Informal {
				is.Stage, is.InForce = d.Stage, dated(d.InForce)
			}
			public = append(public, is)
		}
	}
	return public
}

// quoteDemands returns demands in the words for a reader.
func quoteDemands(all []publicDemand, r reader) []demand {
	var quoted []demand
	for _, d := range all {
		quoted = append(quoted, demand{r.quote(d.Title), r.quote(d.Authority), d.Source, d.Stage, d.InForce, d.Kind})
	}
	return quoted
}

// Name is the title, and the authority where there is none.
func (d demand) Name() quotation {
	if d.Title.Text == "" {
		return d.Authority
	}
	return d.Title
}

// By is the authority beside a title.
func (d demand) By() quotation {
	if d.Title.Text == "" {
		return quotation{}
	}
	return d.Authority
}

func (d demand) String() string {
	if by := d.By(); by.Text != "" {
		return d.Name().Text + " — " + by.Text
	}
	return d.Name().Text
}

// Cited is the demand with where it can be read, in the angle brackets that
// RFC 3986, appendix C, has for an address in plain text.
func (d demand) Cited() string {
	if d.Source == "" {
		return d.String()
	}
	return d.String() + " <" + d.Source + ">"
}

// quoteStatements returns the sentences about guarantees for a reader, each on one
// line.
func quoteStatements(all []policy.Words, r reader) []quotation {
	var lines []quotation
	for _, s := range all {
		if s = wordsInOneLine(s); s != nil {
			lines = append(lines, r.quote(s))
		}
	}
	return lines
}

// wordsInOneLine makes each of some words safe to stand in a line of its own; nil if
// nothing is left.
func wordsInOneLine(w policy.Words) policy.Words {
	var lines policy.Words
	for tag, text := range w {
		if text = oneLine(text); text != "" {
			if lines == nil {
				lines = make(policy.Words)
			}
			lines[tag] = text
		}
	}
	return lines
}

// oneLine makes a text safe to stand in a line of its own. A line break would
// let it pass for another line of the notice, and a bidirectional override
// would reach beyond it.
func oneLine(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		switch {
		case unicode.IsControl(r), r == '\u2028', r == '\u2029':
			return ' '
		case r >= '\u202a' && r <= '\u202e', r >= '\u2066' && r <= '\u2069':
			return -1
		}
		return r
	}, text))
}

// webAddress returns an address that a page of the web has, and nothing for
// any other.
func webAddress(address string) string {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" {
		return ""
	}
	return escapeLink(u.String())
}

// stageName returns the name of a stage, empty if the phrases have none.
func stageName(stage policy.Stage, lang *phrases.Language) string {
	switch stage {
	case policy.Proposed:
		return lang.Stages.Proposed
	case policy.Passed:
		return lang.Stages.Passed
	case policy.Revived:
		return lang.Stages.Revived
	case policy.Adopted:
		return lang.Stages.Adopted
	case policy.InForce:
		return lang.Stages.InForce
	case policy.Suspended:
		return lang.Stages.Suspended
	case policy.Rejected:
		return lang.Stages.Rejected
	case policy.Repealed:
		return lang.Stages.Repealed
	}
	return ""
}
