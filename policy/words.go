package policy

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Words are a text of the operator's for people: one, or one for each of several
// languages, by BCP 47 tag. One whose language isn't said has the tag "", and
// stands alone.
type Words map[string]string

// UnmarshalText reads a text whose language isn't said.
func (w *Words) UnmarshalText(text []byte) error {
	*w = nil
	if len(text) > 0 {
		*w = Words{"": string(text)}
	}
	return nil
}

// ByLanguage reports whether the languages are said.
func (w Words) ByLanguage() bool { return w != nil && w[""] == "" }

// String returns the text, the English one where there are several, else the
// first by tag.
func (w Words) String() string {
	for _, tag := range append([]string{"", "en"}, slices.Sorted(maps.Keys(w))...) {
		if text := w[tag]; text != "" {
			return text
		}
	}
	return ""
}

// Quote writes all that is said: "Access", or en "Access" fr "Accès".
func (w Words) Quote() string {
	if !w.ByLanguage() {
		return fmt.Sprintf("%q", w[""])
	}
	var texts []string
	for _, tag := range slices.Sorted(maps.Keys(w)) {
		texts = append(texts, fmt.Sprintf("%s %q", tag, w[tag]))
	}
	return strings.Join(texts, " ")
}

// MarshalJSON writes a string, or an object by language.
func (w Words) MarshalJSON() ([]byte, error) {
	if w.ByLanguage() {
		return json.Marshal(map[string]string(w))
	}
	return json.Marshal(w[""])
}

// UnmarshalJSON reads what MarshalJSON writes.
func (w *Words) UnmarshalJSON(text []byte) error {
	var alone string
	if err := json.Unmarshal(text, &alone); err == nil {
		return w.UnmarshalText([]byte(alone))
	}
	var all map[string]string
	if err := json.Unmarshal(text, &all); err != nil {
		return err
	}
	*w = all
	return nil
}

// checkWords checks a text for people, of so many bytes at most in each language.
func (p *builder) checkWords(path []any, w Words, longest int) {
	what := path[len(path)-1]
	if w != nil && len(w) == 0 {
		p.errorf(fmt.Sprintf("write it, as in %s: {en: …, fr: …}, or remove it", what), path, "the %s is given in no language", what)
	}
	for _, tag := range slices.Sorted(maps.Keys(w)) {
		at := slices.Clone(path)
		if tag != "" {
			at = append(at, tag)
			if !languageTag.MatchString(tag) {
				p.errorf("use a BCP 47 tag, as in fr or zh-Hant", key(slices.Clone(at)...), "%.80q is not a language", tag)
			}
		}
		switch text := w[tag]; {
		case strings.TrimSpace(text) == "" && tag != "":
			p.errorf("write it, or remove it", at, "the %s in %.80s is empty", what, tag)
		case len(text) > longest:
			p.errorf(fmt.Sprintf("keep it within %d bytes", longest), at, "the %s is too long", what)
		}
	}
}

// HasStages reports whether a demand has more than one stage and one date, or says of
// what kind it is, which gateways of before don't read.
func (d Definition) HasStages() bool {
	for _, demand := range d.Demands {
		if demand.Stages != nil || demand.Kind != "" || len(demand.Requires) > 0 && !demand.Requires.isPlain() || demand.Stage == Passed || demand.Stage == Appealed || demand.Stage == Revived {
			return true
		}
	}
	return false
}

// HasZones reports whether notices say in which time zone dates are given, which
// gateways of before don't read.
func (d Definition) HasZones() bool {
	for _, notice := range d.Notices {
		if notice.Zone != "" {
			return true
		}
	}
	return false
}

// SaysByLanguage reports whether any text for people is given by language, which
// gateways of before don't read. The texts of notices always were.
func (d Definition) SaysByLanguage() bool {
	for _, g := range d.Guarantees {
		if g.Statement.ByLanguage() {
			return true
		}
	}
	for _, demand := range d.Demands {
		if demand.Title.ByLanguage() || demand.Authority.ByLanguage() {
			return true
		}
	}
	return false
}
