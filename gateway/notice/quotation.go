package notice

import (
	"maps"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/exitgate/exitgate/policy"
)

// A quotation is a text of the policy's: the title of a demand, a statement.
type quotation struct {
	Text string
	// Language is set where it is said, and another than that of what is around.
	Language string
}

// MarshalText returns the text.
func (q quotation) MarshalText() ([]byte, error) { return []byte(q.Text), nil }

// A reader is for whom texts of the policy's are chosen.
type reader struct {
	locale locale      // of the notice
	market policy.Code // whose languages are tried next
	around string      // the language that the texts stand in
}

// quote returns of some words those in the language of the notice, else in the
// market's, as a notice itself is chosen, else in English, else the first by tag.
func (r reader) quote(w policy.Words) quotation {
	tag := r.choose(slices.Sorted(maps.Keys(w)))
	q := quotation{Text: w[tag]}
	if !strings.EqualFold(tag, r.around) {
		q.Language = tag
	}
	return q
}

func (r reader) choose(tags []string) string {
	if len(tags) == 0 {
		return ""
	}
	if tag := find(tags, r.locale.name, r.locale.tag); tag != "" {
		return tag
	}
	for _, name := range append(slices.Clone(marketLanguages(r.market)), "en") {
		if tag := find(tags, name, language.Make(name)); tag != "" {
			return tag
		}
	}
	return tags[0]
}

// find returns the tag that a reader of a language reads: the same, else the one of
// which it is a variety, else any of the same language and script. "" if there is
// none.
func find(tags []string, name string, wanted language.Tag) string {
	for of := wanted; ; {
		for _, tag := range tags {
			if strings.EqualFold(tag, name) {
				return tag
			}
		}
		if of = of.Parent(); of.IsRoot() {
			break
		}
		name = of.String()
	}
	for _, tag := range tags {
		if of, err := language.Parse(tag); err == nil && !of.IsRoot() && !wanted.IsRoot() && sameLanguage(of, wanted) {
			return tag
		}
	}
	return ""
}
