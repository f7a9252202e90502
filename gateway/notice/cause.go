package notice

import (
	"net/url"
	"strings"
	"time"
	"unicode"

	"github.com/exitgate/exitgate/gateway/notice/phrases"
	"github.com/exitgate/exitgate/policy"
)

// A demand is what of a policy.Demand is public. What it requires is not among
// that: the guarantees' statements say it in words for people.
type demand struct {
	Title     string       `json:"title,omitempty"`
	Authority string       `json:"authority,omitempty"`
	Source    string       `json:"source,omitempty"` // http or https
	Stage     policy.Stage `json:"stage,omitempty"`
	InForce   time.Time    `json:"in-force,omitzero"`
}

// disclose returns what of demands is public: nothing of one that may not be
// disclosed, whoever passed it on, nor of one that has no name.
func disclose(all []policy.Demand) []demand {
	var public []demand
	for _, d := range all {
		title, authority := oneLine(d.Title), oneLine(d.Authority)
		if d.Disclosed() && (title != "" || authority != "") {
			public = append(public, demand{title, authority, webAddress(d.Source), d.Stage, d.InForce.UTC()})
		}
	}
	return public
}

// Name is the title, and the authority where there is none.
func (d demand) Name() string {
	if d.Title == "" {
		return d.Authority
	}
	return d.Title
}

// By is the authority beside a title.
func (d demand) By() string {
	if d.Title == "" {
		return ""
	}
	return d.Authority
}

func (d demand) String() string {
	if by := d.By(); by != "" {
		return d.Name() + " — " + by
	}
	return d.Name()
}

// Cited is the demand with where it can be read, in the angle brackets that
// RFC 3986, appendix C, has for an address in plain text.
func (d demand) Cited() string {
	if d.Source == "" {
		return d.String()
	}
	return d.String() + " <" + d.Source + ">"
}

// statements returns the sentences about guarantees, each on one line.
func statements(all []string) []string {
	var lines []string
	for _, s := range all {
		if s = oneLine(s); s != "" {
			lines = append(lines, s)
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
