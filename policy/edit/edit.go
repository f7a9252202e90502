// Package edit changes one market in the text of a policy, and leaves all else
// as it is.
package edit

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/internal/zonedtime"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/document"
)

// A PhaseChange is what Apply does to the entry of one jurisdiction: it changes
// what the whole service gets. What else the entry says (because, territories,
// features) stays; routes become the features that they mean.
type PhaseChange struct {
	Jurisdiction policy.Code
	Phase        policy.Phase
	// From is when the phase begins, as a step of the entry's schedule. A step
	// can only restrict. Zero: the phase takes the place of all that the entry
	// says of phases, and can also open.
	From time.Time
	// At is the moment of the change. It is only needed where the entry has a
	// phase without a date and gets a schedule: the phase is written down as
	// one that holds from then on.
	At time.Time
	// Remove removes the entry, in place of setting a phase: what else matches
	// the jurisdiction governs then.
	Remove bool
	// Territories are which of a country's territories the entry reaches, from
	// now on. Left out, what the entry says of them stays.
	Territories policy.Territories
	// UnknownPart is what those get who may be in the part of a country that the
	// entry is about, from now on. Left out, what the entry says of them stays.
	UnknownPart policy.UnknownPart
	// Drain is how long what is under way may go on that the entry refuses, from now
	// on. Nil: what the entry says of that stays.
	Drain *time.Duration
}

// Apply returns the text of a policy with one entry changed or added, and all
// else as it is, to the byte. Comments stay, but for those between the lines of
// steps that are dropped. Setting what is so already returns the source.
//
// The result is a policy that document.Read accepts, and that says exactly what
// was asked for; else there is an error. One that wraps strictyaml.Errors comes
// from there: what was asked for would break a rule or a promise.
func Apply(source []byte, c PhaseChange) ([]byte, error) {
	const name = "policy"
	before := document.Decode(name, source)
	p, err := before.Policy()
	if err != nil {
		return nil, err
	}
	if err := p.CheckJurisdiction(c.Jurisdiction); err != nil {
		return nil, &UnknownError{err.Error()}
	}
	e := editor{source: source, doc: before.YAML}
	was, exists := before.Definition.Jurisdictions[string(c.Jurisdiction)]
	wanted, err := c.apply(was.WithFeatures())
	if c.Territories.Said() && !c.Remove {
		wanted.Territories = c.Territories
	}
	if c.UnknownPart != "" && !c.Remove {
		wanted.UnknownPart = c.UnknownPart
	}
	if c.Drain != nil && !c.Remove {
		wanted.Drain = c.Drain
	}
	switch {
	case err != nil:
		return nil, err
	case c.Remove && !exists, !c.Remove && exists && sameEntry(was, wanted):
		return source, nil
	case c.Remove:
		e.remove(section, string(c.Jurisdiction))
	default:
		e.set(c, was, exists, wanted)
	}
	result := e.result()
	after := document.Decode(name, result)
	if after.YAML.Err() != nil || !c.isOnlyChange(before.Definition, after.Definition, wanted) {
		return nil, fmt.Errorf("%s: %w", c.Jurisdiction, errUneditable)
	}
	// What stands beside the change needn't be as new ones have to be.
	if _, err := after.Policy(); err != nil {
		if c.Remove {
			return nil, fmt.Errorf("the entry %s can't be removed: %w", c.Jurisdiction, err)
		}
		return nil, fmt.Errorf("%s can't be %s: %w", c.Jurisdiction, c.Phase, err)
	}
	return result, nil
}

// An UnknownError is that there is no such jurisdiction, or no such demand.
type UnknownError struct{ text string }

func (e *UnknownError) Error() string { return e.text }

var errUneditable = errors.New("the policy is written in a way that only people can edit: change its text yourself and apply that")

// apply returns the entry as it should become.
func (c PhaseChange) apply(was policy.Entry) (policy.Entry, error) {
	switch {
	case c.Remove:
		return policy.Entry{}, nil
	case c.Phase > policy.Withdrawn:
		return policy.Entry{}, fmt.Errorf("%s is not a phase", c.Phase)
	case c.From.IsZero():
		was.Phase, was.Schedule = &c.Phase, nil
		return was, nil
	}
	steps, err := c.dated(was)
	if err != nil {
		return policy.Entry{}, err
	}
	now := policy.Step{}
	for _, step := range steps {
		if !step.From.After(c.From) {
			now = step
		}
	}
	switch dated := !now.From.IsZero() && now.From.Equal(c.From); {
	case dated && now.Phase == c.Phase && was.Phase == nil:
		return was, nil
	case c.Phase == policy.Open || c.Phase < now.Phase:
		return policy.Entry{}, fmt.Errorf("a date can only restrict, but %s is %s by %s: set %s %s without a date when the time has come", c.Jurisdiction, now.Phase, formatTime(c.From), c.Jurisdiction, c.Phase)
	case c.Phase == now.Phase && now.From.IsZero():
		return policy.Entry{}, fmt.Errorf("%s is %s already", c.Jurisdiction, c.Phase)
	case c.Phase == now.Phase:
		return policy.Entry{}, fmt.Errorf("%s is %s from %s on already: to postpone that, change the text of the policy", c.Jurisdiction, c.Phase, formatTime(now.From))
	}
	// What the new step restricts as much is left out.
	steps = slices.DeleteFunc(slices.Clone(steps), func(s policy.Step) bool { return !s.From.Before(c.From) && s.Phase <= c.Phase })
	at, _ := slices.BinarySearchFunc(steps, c.From, func(s policy.Step, t time.Time) int { return s.From.Compare(t) })
	was.Phase, was.Schedule = nil, slices.Insert(steps, at, policy.Step{From: c.From, Phase: c.Phase})
	return was, nil
}

// dated returns the steps of an entry, each with a date.
func (c PhaseChange) dated(was policy.Entry) ([]policy.Step, error) {
	switch {
	case was.Phase == nil:
		return was.Schedule, nil // none where features alone are spoken of
	case *was.Phase == policy.Open:
		return nil, nil
	case *was.Phase == c.Phase:
		return []policy.Step{{Phase: c.Phase}}, nil // apply says that it is so already
	case !c.From.After(c.At):
		return nil, fmt.Errorf("%s is %s now: set %s without a date, or from a later one", c.Jurisdiction, *was.Phase, c.Phase)
	case c.At.IsZero() && *was.Phase < c.Phase:
		return nil, fmt.Errorf("%s is %s without a date: say from when, in a schedule", c.Jurisdiction, *was.Phase)
	}
	return []policy.Step{{From: c.At.UTC(), Phase: *was.Phase}}, nil
}

// isOnlyChange reports whether the change is all that differs between two
// documents.
func (c PhaseChange) isOnlyChange(before, after policy.Definition, wanted policy.Entry) bool {
	code := string(c.Jurisdiction)
	got, exists := after.Jurisdictions[code]
	if exists == c.Remove || exists && !sameEntry(got, wanted) {
		return false
	}
	rest := func(d policy.Definition) policy.Definition {
		d.Jurisdictions = maps.Clone(d.Jurisdictions)
		if delete(d.Jurisdictions, code); len(d.Jurisdictions) == 0 {
			d.Jurisdictions = nil
		}
		return d
	}
	return reflect.DeepEqual(rest(before), rest(after))
}

func samePhases(a, b policy.Entry) bool {
	return slices.EqualFunc(a.Schedule, b.Schedule, policy.Step.Equal) &&
		(a.Phase == nil) == (b.Phase == nil) && (a.Phase == nil || *a.Phase == *b.Phase) && (a.Routes == nil) == (b.Routes == nil)
}

func sameEntry(a, b policy.Entry) bool {
	return samePhases(a, b) &&
		slices.Equal(a.Because, b.Because) && slices.Equal(a.Routes, b.Routes) && (a.Routes == nil) == (b.Routes == nil) &&
		a.Territories.Equal(b.Territories) && a.UnknownPart == b.UnknownPart && formatDrain(a) == formatDrain(b) && policy.FormatFeatures(a.Features) == policy.FormatFeatures(b.Features)
}

// An editor changes the text of a valid policy.
type editor struct {
	source  []byte
	doc     *strictyaml.Document
	splices []splice
}

// A splice puts a text, with "\n" for line ends, in the place of what is
// between two offsets.
type splice struct {
	start, end int
	text       string
}

const section = "jurisdictions"

// set writes an entry as it is wanted.
func (e *editor) set(c PhaseChange, was policy.Entry, exists bool, wanted policy.Entry) {
	code := string(c.Jurisdiction)
	_, _, isMapping := e.doc.Span(section, code, "phase")
	said := []setting{
		{"territories", was.Territories.String(), wanted.Territories.String()},
		{"unknown-part", string(was.UnknownPart), string(wanted.UnknownPart)},
		{"drain", formatDrain(was), formatDrain(wanted)},
	}
	for _, s := range said {
		if exists && s.was != s.wanted && e.setBeside(s, wanted, code) {
			return
		}
	}
	if exists && samePhases(was, wanted) {
		return
	}
	switch {
	case !exists:
		e.add(code, wanted)
	case was.Routes != nil:
		e.respell(was, wanted, code)
	case was.Phase == nil && was.Schedule == nil:
		e.addTo(whole(wanted), code)
	case was.Schedule != nil && wanted.Schedule != nil:
		e.step(c, was.Schedule, code)
	case was.Schedule != nil:
		e.unschedule(wanted, code)
	case wanted.Schedule != nil && isMapping:
		e.schedule(wanted.Schedule, code)
	case wanted.Schedule != nil:
		e.spellOut(wanted.Schedule, code)
	case isMapping:
		e.put(wanted.Phase.String(), section, code, "phase")
	default:
		e.put(wanted.Phase.String(), section, code)
	}
}

// respell writes an entry with routes as one with features, and what the whole
// service gets beside them.
func (e *editor) respell(was, wanted policy.Entry, code string) {
	e.replace(policy.FormatFeatures(wanted.Features), code, "routes")
	if was.Phase != nil {
		e.replace(whole(wanted), code, "phase")
	} else {
		e.replace(whole(wanted), code, "schedule")
	}
}

// A setting is what an entry says beside phases, by key.
type setting struct{ key, was, wanted string }

// setBeside writes what an entry says beside phases. It reports whether that was all, as
// the entry had to be written anew.
func (e *editor) setBeside(s setting, wanted policy.Entry, code string) bool {
	switch start, _ := e.span(section, code); {
	case e.source[start] != '{' && len(e.doc.Keys(section, code)) == 0: // a phase alone
		e.put(flow(wanted), section, code)
		return true
	case s.was != "":
		e.replace(s.key+": "+s.wanted, code, s.key)
	default:
		e.addTo(s.key+": "+s.wanted, code)
	}
	return false
}

// formatDrain writes the drain of an entry, "" if it has none.
func formatDrain(entry policy.Entry) string {
	if entry.Drain == nil {
		return ""
	}
	return policy.FormatDrain(*entry.Drain)
}

// beside writes what an entry says beside phases, a key and its value each.
func beside(wanted policy.Entry) (parts []string) {
	if wanted.Territories.Said() {
		parts = append(parts, "territories: "+wanted.Territories.String())
	}
	if wanted.UnknownPart != "" {
		parts = append(parts, "unknown-part: "+string(wanted.UnknownPart))
	}
	if wanted.Drain != nil {
		parts = append(parts, "drain: "+formatDrain(wanted))
	}
	return parts
}

// whole writes what an entry gives the whole service.
func whole(wanted policy.Entry) string {
	if wanted.Phase != nil {
		return "phase: " + wanted.Phase.String()
	}
	return "schedule: " + flowSteps(wanted.Schedule)
}

// replace writes a line in the place of a key of an entry and its value.
func (e *editor) replace(text string, code, name string) {
	start, keyEnd := e.span(section, code, strictyaml.Key(name))
	value, end := e.span(section, code, name)
	if e.inOneLine(start, value) {
		e.splice(start, end, text)
		return
	}
	e.splice(start, e.colon(keyEnd), text)
	e.splice(e.lineStart(value), e.nextLine(end), "")
}

// addTo writes a line more into an entry, before the others.
func (e *editor) addTo(text string, code string) {
	start, _ := e.span(section, code, strictyaml.Key(e.doc.Keys(section, code)[0]))
	if e.isFlow(section, code) {
		e.splice(start, start, text+", ")
		return
	}
	e.splice(start, start, text+"\n"+indent(e.column(start)))
}

// put writes a text in the place of a value.
func (e *editor) put(text string, path ...any) {
	start, end := e.span(path...)
	e.splice(start, end, text)
}

// add writes a new entry behind the others.
func (e *editor) add(code string, wanted policy.Entry) {
	short := code + ": " + flow(wanted)
	_, _, exists := e.doc.Span(section)
	switch {
	case !exists && e.isFlow():
		e.extend(section + ": {" + short + "}")
	case !exists:
		start, end := e.span()
		column := e.column(start)
		e.below(end, column, section+":")
		e.entry(end, column+usualIndent, usualIndent, code, wanted)
	case e.isFlow(section):
		e.extend(short, section)
	default:
		start, end := e.span(section)
		e.entry(end, e.column(start), e.unit(), code, wanted)
	}
}

// entry writes an entry into lines of its own.
func (e *editor) entry(below, column, unit int, code string, wanted policy.Entry) {
	if wanted.Schedule == nil {
		e.below(below, column, code+": "+flow(wanted))
		return
	}
	e.below(below, column, code+":")
	for _, text := range beside(wanted) {
		e.below(below, column+unit, text)
	}
	e.below(below, column+unit, "schedule:")
	e.steps(below, column+2*unit, wanted.Schedule)
}

// extend writes a key and its value behind the last of a mapping in braces.
func (e *editor) extend(text string, path ...any) {
	keys := e.doc.Keys(path...)
	if len(keys) == 0 {
		start, _ := e.span(path...)
		e.splice(start+1, start+1, text)
		return
	}
	_, end := e.span(append(slices.Clip(path), keys[len(keys)-1])...)
	e.splice(end, end, ", "+text)
}

// spellOut writes a schedule in the place of a phase alone: FR: open.
func (e *editor) spellOut(steps []policy.Step, code string) {
	start, keyEnd := e.span(section, strictyaml.Key(code))
	value, end := e.span(section, code)
	if e.isFlow(section) || !e.inOneLine(start, end) {
		e.splice(value, end, flow(policy.Entry{Schedule: steps}))
		return
	}
	column := e.column(start) + e.unit()
	e.splice(e.colon(keyEnd), end, "")
	e.below(end, column, "schedule:")
	e.steps(end, column+e.unit(), steps)
}

// schedule writes a schedule in the place of a phase in a mapping.
func (e *editor) schedule(steps []policy.Step, code string) {
	start, _ := e.span(section, code, strictyaml.Key("phase"))
	_, end := e.span(section, code, "phase")
	if e.isFlow(section, code) || !e.inOneLine(start, end) {
		e.splice(start, end, "schedule: "+flowSteps(steps))
		return
	}
	e.splice(start, end, "schedule:")
	e.steps(end, e.column(start)+e.unit(), steps)
}

// unschedule writes a phase in the place of a schedule.
func (e *editor) unschedule(wanted policy.Entry, code string) {
	start, keyEnd := e.span(section, code, strictyaml.Key("schedule"))
	list, end := e.span(section, code, "schedule")
	phase := "phase: " + wanted.Phase.String()
	if e.isFlow(section, code, "schedule") {
		e.splice(start, end, phase)
		return
	}
	e.splice(start, e.colon(keyEnd), phase)
	e.splice(e.lineStart(list), e.nextLine(end), "")
}

// step writes one step into a schedule, in the place of those that restrict no
// more from then on.
func (e *editor) step(c PhaseChange, steps []policy.Step, code string) {
	// The new step comes before the one at first, and in place of those up
	// to the one at last.
	first := slices.IndexFunc(steps, func(s policy.Step) bool { return !s.From.Before(c.From) })
	if first < 0 {
		first = len(steps)
	}
	last := first
	for last < len(steps) && steps[last].Phase <= c.Phase {
		last++
	}
	at := func(i int) (start, end int) { return e.span(section, code, "schedule", i) }
	written := flowStep(policy.Step{From: c.From, Phase: c.Phase})
	if e.isFlow(section, code, "schedule") {
		switch {
		case last > first:
			start, _ := at(first)
			_, end := at(last - 1)
			e.splice(start, end, written)
		case first > 0:
			_, end := at(first - 1)
			e.splice(end, end, ", "+written)
		default:
			start, _ := at(first)
			e.splice(start, start, written+", ")
		}
		return
	}
	list, _ := e.span(section, code, "schedule")
	if first == 0 {
		e.splice(e.lineStart(list), e.lineStart(list), indent(e.column(list))+"- "+written+"\n")
	} else {
		_, end := at(first - 1)
		e.below(end, e.column(list), "- "+written)
	}
	for i := first; i < last; i++ {
		dash := list
		if i > 0 {
			_, end := at(i - 1)
			dash = e.dash(e.nextLine(end))
		}
		_, end := at(i)
		e.splice(e.lineStart(dash), e.nextLine(end), "")
	}
}

// remove takes an entry out.
func (e *editor) remove(section, code string) {
	keys := e.doc.Keys(section)
	i := slices.Index(keys, code)
	start, _ := e.span(section, strictyaml.Key(code))
	_, end := e.span(section, code)
	switch {
	case !e.isFlow(section):
		if len(keys) == 1 {
			_, sectionEnd := e.span(strictyaml.Key(section))
			colon := e.colon(sectionEnd)
			e.splice(colon, colon, " {}")
		}
		e.splice(e.lineStart(start), e.nextLine(end), "")
	case i > 0:
		_, before := e.span(section, keys[i-1])
		e.splice(before, end, "")
	case len(keys) > 1:
		next, _ := e.span(section, strictyaml.Key(keys[1]))
		e.splice(start, next, "")
	default:
		if rest := bytes.TrimLeft(e.source[end:], " \t\r\n"); bytes.HasPrefix(rest, []byte(",")) {
			end = len(e.source) - len(rest) + 1
		}
		e.splice(start, end, "")
	}
}

// steps writes steps into lines below the one that an offset is in.
func (e *editor) steps(below, column int, steps []policy.Step) {
	for _, s := range steps {
		e.below(below, column, "- "+flowStep(s))
	}
}

// below writes a line below the one that a value ends in. Of several ones below
// the same, the first stays first.
func (e *editor) below(end, column int, text string) {
	text = indent(column) + text
	if e.afterLine(end) {
		e.splice(end, end, text+"\n")
		return
	}
	end = e.lineEnd(end)
	e.splice(end, end, "\n"+text)
}

func (e *editor) splice(start, end int, text string) {
	e.splices = append(e.splices, splice{start, end, text})
}

// result returns the source with all splices made.
func (e *editor) result() []byte {
	slices.SortStableFunc(e.splices, func(a, b splice) int { return a.start - b.start })
	newline := "\n"
	if i := bytes.IndexByte(e.source, '\n'); i > 0 && e.source[i-1] == '\r' {
		newline = "\r\n"
	}
	var result []byte
	at := 0
	for _, s := range e.splices {
		result = append(result, e.source[at:max(at, s.start)]...)
		result = append(result, strings.ReplaceAll(s.text, "\n", newline)...)
		at = max(at, s.end)
	}
	return append(result, e.source[at:]...)
}

// span returns where something is that is there.
func (e *editor) span(path ...any) (start, end int) {
	start, end, _ = e.doc.Span(path...)
	return start, end
}

// isFlow reports whether a value is written in brackets.
func (e *editor) isFlow(path ...any) bool {
	start, _ := e.span(path...)
	return start < len(e.source) && (e.source[start] == '{' || e.source[start] == '[')
}

func (e *editor) inOneLine(start, end int) bool { return e.lineEnd(start) == e.lineEnd(end) }

// mark is what a file may begin with, and no line is indented by.
const mark = "\ufeff"

// lineStart returns the offset of the line that another offset is in.
func (e *editor) lineStart(i int) int {
	start := bytes.LastIndexByte(e.source[:i], '\n') + 1
	if start == 0 && bytes.HasPrefix(e.source, []byte(mark)) {
		start = len(mark)
	}
	return start
}

// lineEnd returns the offset of the line's end.
func (e *editor) lineEnd(i int) int {
	n := bytes.IndexByte(e.source[i:], '\n')
	switch {
	case n < 0:
		return len(e.source)
	case i+n > 0 && e.source[i+n-1] == '\r':
		return i + n - 1
	}
	return i + n
}

// nextLine returns the offset of the line after the one that a value ends in;
// that of a text in lines of its own ends where the next one begins.
func (e *editor) nextLine(end int) int {
	if e.afterLine(end) {
		return end
	}
	if n := bytes.IndexByte(e.source[end:], '\n'); n >= 0 {
		return end + n + 1
	}
	return len(e.source)
}

func (e *editor) afterLine(i int) bool { return i > 0 && e.source[i-1] == '\n' }

// dash returns the offset of the next item of a list, from the start of a line
// on.
func (e *editor) dash(line int) int {
	for line < len(e.source) {
		text := e.source[line:e.lineEnd(line)]
		if rest := bytes.TrimLeft(text, " "); bytes.HasPrefix(rest, []byte("-")) {
			return line + len(text) - len(rest)
		}
		line = e.nextLine(line + 1)
	}
	return line
}

// colon returns the offset of what follows the colon after a key.
func (e *editor) colon(keyEnd int) int {
	return keyEnd + bytes.IndexByte(e.source[keyEnd:], ':') + 1
}

func (e *editor) column(i int) int { return i - e.lineStart(i) }

const usualIndent = 2

// unit is by how much the document indents entries.
func (e *editor) unit() int {
	outer, _ := e.span(strictyaml.Key(section))
	inner, _ := e.span(section)
	return max(1, e.column(inner)-e.column(outer))
}

func indent(column int) string { return strings.Repeat(" ", column) }

// flow writes an entry in one line.
func flow(wanted policy.Entry) string {
	switch {
	case beside(wanted) != nil:
		return "{" + strings.Join(append(beside(wanted), whole(wanted)), ", ") + "}"
	case wanted.Schedule == nil:
		return wanted.Phase.String()
	}
	return "{schedule: " + flowSteps(wanted.Schedule) + "}"
}

func flowSteps(steps []policy.Step) string {
	var written []string
	for _, s := range steps {
		written = append(written, flowStep(s))
	}
	return "[" + strings.Join(written, ", ") + "]"
}

func flowStep(s policy.Step) string {
	return fmt.Sprintf("{from: %s, phase: %s}", flowTime(s.From), s.Phase)
}

// flowTime writes a moment as it may stand in braces: there a zone's bracket begins a list.
func flowTime(t time.Time) string {
	text := formatTime(t)
	if strings.Contains(text, "[") {
		return `"` + text + `"`
	}
	return text
}

// formatTime writes a moment in full, as it was said.
func formatTime(t time.Time) string { return zonedtime.Format(t) }
