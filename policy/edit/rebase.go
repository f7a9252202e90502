package edit

import (
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// Rebase returns the text of the policy in force with what a change does to another
// text, that it was made against: base. It is only possible where both, the change and
// what has come into force since, are about entries of jurisdictions and their
// notices alone, and of each other's about none; else there is an error. What else
// stands in the text in force stays as it is, its comments among it. Those of the change
// come along, but for what isn't within its entries where both change the same lines.
//
// The result is a policy that document.Read accepts, and whose entries are those in
// force but for the ones that the change is about, which are the change's.
func Rebase(base, change, inForce []byte) ([]byte, error) {
	const name = "policy"
	was, wants, is := document.Decode(name, base), document.Decode(name, change), document.Decode(name, inForce)
	for _, d := range []*document.Document{was, wants, is} {
		if err := d.YAML.Err(); err != nil {
			return nil, err
		}
	}
	if !sameBesideEntries(was.Definition, wants.Definition) || !sameBesideEntries(was.Definition, is.Definition) {
		return nil, errors.New("more than entries of jurisdictions is changed")
	}
	expected := is.Definition
	var err error
	if expected.Jurisdictions, err = mergeEntries(was.Definition.Jurisdictions, wants.Definition.Jurisdictions, is.Definition.Jurisdictions); err != nil {
		return nil, err
	}
	if expected.Notices, err = mergeEntries(was.Definition.Notices, wants.Definition.Notices, is.Definition.Notices); err != nil {
		return nil, err
	}
	// By lines all stays as it was written. Where both change the same line, as in braces,
	// or write the first entry, the entries are moved.
	result, err := mergeLines(base, change, inForce)
	merged := document.Decode(name, result)
	if err != nil || merged.YAML.Err() != nil || !reflect.DeepEqual(merged.Definition, expected) {
		from := &editor{source: change, doc: wants.YAML}
		result = moveEntries(inForce, "jurisdictions", changedKeys(was.Definition.Jurisdictions, wants.Definition.Jurisdictions), from)
		result = moveEntries(result, "notices", changedKeys(was.Definition.Notices, wants.Definition.Notices), from)
		merged = document.Decode(name, result)
	}
	if merged.YAML.Err() != nil || !reflect.DeepEqual(merged.Definition, expected) {
		return nil, errUneditable
	}
	if _, err := merged.Policy(); err != nil {
		return nil, err
	}
	return result, nil
}

// sameBesideEntries reports whether two documents differ in entries of jurisdictions and
// their notices alone.
func sameBesideEntries(a, b policy.Definition) bool {
	a.Jurisdictions, a.Notices = b.Jurisdictions, b.Notices
	return reflect.DeepEqual(a, b)
}

// changedKeys returns the keys of the entries that differ, sorted.
func changedKeys[V any](a, b map[string]V) []string {
	changed := make(map[string]bool)
	for _, key := range slices.AppendSeq(slices.Collect(maps.Keys(a)), maps.Keys(b)) {
		if !sameAt(a, b, key) {
			changed[key] = true
		}
	}
	return slices.Sorted(maps.Keys(changed))
}

// sameAt reports whether both have the same entry, or none.
func sameAt[V any](a, b map[string]V, key string) bool {
	x, inA := a[key]
	y, inB := b[key]
	return inA == inB && reflect.DeepEqual(x, y)
}

// mergeEntries returns the entries in force with those that a change is about. It is an
// error if one of them isn't as it was.
func mergeEntries[V any](was, wants, is map[string]V) (map[string]V, error) {
	merged := maps.Clone(is)
	for _, key := range changedKeys(was, wants) {
		if !sameAt(was, is, key) {
			return nil, fmt.Errorf("%v is changed by both", key)
		}
		entry, stays := wants[key]
		switch {
		case !stays:
			delete(merged, key)
		case merged == nil:
			merged = map[string]V{key: entry}
		default:
			merged[key] = entry
		}
	}
	if len(merged) == 0 && len(is) > 0 {
		return map[string]V{}, nil
	}
	return merged, nil
}

func newEditor(text []byte) *editor {
	return &editor{source: text, doc: document.Decode("policy", text).YAML}
}

// moveEntries returns a text with the entries with these keys as another text has them. Of
// the comments there those within these entries come along.
func moveEntries(text []byte, section string, keys []string, from *editor) []byte {
	var stay, added []string
	for _, key := range keys {
		if _, _, wanted := from.doc.Span(section, key); wanted {
			stay = append(stay, key)
			continue
		}
		e := newEditor(text) // each anew: what is removed may be all
		e.remove(section, key)
		text = e.result()
	}
	e := newEditor(text)
	for _, key := range stay {
		_, end, exists := e.doc.Span(section, key)
		switch {
		case exists:
			keyStart, keyEnd := e.span(section, strictyaml.Key(key))
			colon := e.colon(keyEnd)
			if e.afterLine(end) {
				end--
			}
			e.splice(colon, end, from.entryText(section, key, e.column(keyStart)))
		default:
			added = append(added, key)
		}
	}
	if added != nil {
		e.addEntries(section, added, from)
	}
	return e.result()
}

// addEntries writes entries of another text behind the others.
func (e *editor) addEntries(section string, keys []string, from *editor) {
	texts := func(column int) (all []string) {
		for _, key := range keys {
			all = append(all, key+":"+from.entryText(section, key, column))
		}
		return all
	}
	start, end, exists := e.doc.Span(section)
	isInLines := slices.ContainsFunc(texts(0), func(text string) bool { return strings.Contains(text, "\n") })
	switch {
	case exists && e.isFlow(section) && isInLines:
		e.spread(section, texts(e.inner(section)))
		return
	case exists && e.isFlow(section):
		e.extend(strings.Join(texts(0), ", "), section)
		return
	case !exists && e.isFlow():
		e.extend(section + ": {" + strings.Join(texts(0), ", ") + "}")
		return
	}
	column := e.column(start)
	if !exists {
		start, end = e.span()
		e.below(end, e.column(start), section+":")
		column = e.column(start) + usualIndent
	}
	for _, text := range texts(column) {
		e.below(end, column, text)
	}
}

// inner returns the column of entries of a section that are in lines.
func (e *editor) inner(section string) int {
	keyStart, _ := e.span(strictyaml.Key(section))
	return e.column(keyStart) + usualIndent
}

// spread writes a section in braces in lines, with entries more. Comments within the braces
// are lost.
func (e *editor) spread(section string, added []string) {
	var all []string
	for _, key := range e.doc.Keys(section) {
		all = append(all, key+":"+e.entryText(section, key, e.inner(section)))
	}
	_, keyEnd := e.span(strictyaml.Key(section))
	_, end := e.span(section)
	e.splice(e.colon(keyEnd), end, "")
	for _, text := range append(all, added...) {
		e.below(end, e.inner(section), text)
	}
}

// entryText returns what stands behind the colon of an entry, as it would for one whose
// key is in a column.
func (e *editor) entryText(section, key string, column int) string {
	keyStart, _ := e.span(section, strictyaml.Key(key))
	start, end := e.span(section, key)
	text := strings.ReplaceAll(strings.TrimRight(string(e.source[start:end]), " \r\n"), "\r\n", "\n") // result writes them as the text has them
	if e.inOneLine(keyStart, start) {
		return " " + text
	}
	was := "\n" + indent(e.column(start))
	return "\n" + indent(column+usualIndent) + strings.ReplaceAll(text, was, "\n"+indent(column+usualIndent))
}
