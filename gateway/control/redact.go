package control

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/document"
	"github.com/exitgate/exitgate/policy/plan"
)

// Undisclosed returns the names of demands that somebody may not know of: none for who
// is counsel.
func (c *Control) Undisclosed(by changes.Actor) []string {
	if slices.Contains(by.Roles, changes.Counsel) {
		return nil
	}
	names := c.source.State().Undisclosed()
	snapshot := c.snapshot()
	if snapshot == nil {
		return names
	}
	for name, d := range snapshot.Policy().Demands() { // of a file, say
		if !d.Disclosed() && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// Redact returns an answer, which is JSON, as somebody may know it. What is of a demand
// that may not be disclosed is left out of lists and objects; a text that names one,
// such as a policy, is replaced as a whole by [api.NotDisclosed]. This is by what stands in
// an answer, not by which answer it is: none can be forgotten. The order of what is left
// stays.
func (c *Control) Redact(by changes.Actor, answer []byte) []byte {
	names := c.Undisclosed(by)
	if len(names) == 0 {
		return answer
	}
	var value json.RawMessage
	if json.Unmarshal(answer, &value) != nil {
		return nil // it isn't JSON: nobody knows what is in it
	}
	value, _ = newRedaction(names).value(value)
	var b bytes.Buffer
	if json.Indent(&b, value, "", "  ") != nil {
		return nil
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// A redaction leaves out what is of some demands.
type redaction struct {
	demands []string
	word    *regexp.Regexp // any of them
}

func newRedaction(demands []string) redaction {
	quoted := make([]string, len(demands))
	for i, name := range demands {
		quoted[i] = regexp.QuoteMeta(name)
	}
	const end = `[^a-z0-9_-]`
	return redaction{demands, regexp.MustCompile(`(^|` + end + `)(` + strings.Join(quoted, "|") + `)($|` + end + `)`)}
}

// value returns a valid value of JSON without what may not be known, and whether anything
// is left of it.
func (r redaction) value(v json.RawMessage) (redacted json.RawMessage, left bool) {
	switch v = bytes.TrimSpace(v); v[0] {
	case '"':
		if r.names(decodeString(v)) {
			return notDisclosed, true
		}
	case '[':
		return r.list(v), true
	case '{':
		return r.object(v)
	}
	return v, true
}

var notDisclosed = encodeString(api.NotDisclosed)

func (r redaction) list(v json.RawMessage) json.RawMessage {
	var items, kept []json.RawMessage
	_ = json.Unmarshal(v, &items) // it is valid
	for _, item := range items {
		if slices.Contains(r.demands, decodeString(item)) {
			continue
		}
		redacted, left := r.value(item)
		if !left || bytes.Contains(redacted, notDisclosed) && slices.ContainsFunc(kept, func(other json.RawMessage) bool { return bytes.Equal(other, redacted) }) {
			continue // how often it isn't disclosed would tell of how many
		}
		kept = append(kept, redacted)
	}
	return encodeList(kept)
}

// object returns what is left of an object: nothing of one that is a demand, or about one.
func (r redaction) object(v json.RawMessage) (redacted json.RawMessage, left bool) {
	members := decodeObject(v)
	r.leaveOutReasons(members)
	var named bool // whether a text was replaced
	for i, m := range members {
		if m.key == "disclose" && string(m.value) == "false" ||
			slices.Contains([]string{"name", "id", "demand"}, m.key) && slices.Contains(r.demands, decodeString(m.value)) {
			return nil, false
		}
		if m.key == "summary" || m.key == "message" {
			m.value = leaveOutCount(m.value)
		}
		value, left := r.value(m.value)
		named = named || m.value[0] == '"' && !bytes.Equal(value, m.value)
		members[i].value, members[i].left = value, left && !r.names(m.key)
		if m.key == "because" && string(members[i].value) == "[]" {
			members[i].left = false // other entries have none, either
		}
	}
	r.leaveOutHints(members, named)
	return encodeObject(members), true
}

// more is what a summary says last of what it doesn't name.
var more = regexp.MustCompile(` \([0-9]+ more\)$`)

// leaveOutCount leaves out of a summary how much it doesn't name: demands are among it.
func leaveOutCount(v json.RawMessage) json.RawMessage {
	text := decodeString(v)
	if place := more.FindStringIndex(text); place != nil {
		return encodeString(text[:place[0]] + " (and more)")
	}
	return v
}

// reason is what the words of an amendment say last: which demands an entry is because of.
var reason = regexp.MustCompile(`(, )?because of ([a-z0-9_ -]+)$`)

// leaveOutReasons takes demands out of the words of an amendment, so that these look like
// those of any other.
func (r redaction) leaveOutReasons(members []member) {
	if !slices.ContainsFunc(members, func(m member) bool { return m.key == "section" }) {
		return
	}
	for i, m := range members {
		if m.key != "before" && m.key != "after" {
			continue
		}
		text := decodeString(m.value)
		found := reason.FindStringSubmatch(text)
		if found == nil {
			continue
		}
		left := slices.DeleteFunc(strings.Fields(found[2]), func(name string) bool { return slices.Contains(r.demands, name) })
		text = strings.TrimSuffix(text, found[0])
		if len(left) > 0 {
			text += found[1] + "because of " + strings.Join(left, " ")
		}
		members[i].value = encodeString(text)
	}
}

// leaveOutHints leaves out of an object what doesn't name a demand, but would tell of one:
// of a refusal that names one, all but that it is one; where in a policy, and the line there;
// warnings of a policy; and that a demand is weakened, unless it can be seen which.
func (r redaction) leaveOutHints(members []member, named bool) {
	has := func(key string) bool {
		return slices.ContainsFunc(members, func(m member) bool { return m.key == key })
	}
	isDiagnostic := has("message") && has("file")
	for i, m := range members {
		switch {
		case m.key == "advice":
			members[i].left = m.left && !named
		case isDiagnostic && slices.Contains([]string{"line", "column", "source", "caret"}, m.key):
			members[i].left = false
		case m.key == "warnings":
			members[i].left = false // they are about a policy that isn't shown
		case m.key == "effects":
			members[i].value = r.effects(m.value, members)
		}
	}
}

// effects returns the effects of a plan, or of a change or a revision, without that a
// demand is weakened, unless an amendment that is left shows which.
func (r redaction) effects(v json.RawMessage, members []member) json.RawMessage {
	var effects []plan.Effect
	if json.Unmarshal(v, &effects) != nil || !slices.Contains(effects, plan.WeakensDemand) {
		return v
	}
	const shown = `"effect":"` + string(plan.WeakensDemand) + `"`
	if slices.ContainsFunc(members, func(m member) bool { return bytes.Contains(m.value, []byte(shown)) }) {
		return v
	}
	kept := []json.RawMessage{}
	for _, e := range effects {
		if e != plan.WeakensDemand {
			kept = append(kept, encodeString(string(e)))
		}
	}
	if len(kept) == 0 {
		kept = append(kept, encodeString(string(plan.ChangesOther)))
	}
	return encodeList(kept)
}

// names reports whether a text names one of the demands, also if it is a policy that
// writes the name with an escape.
func (r redaction) names(text string) bool {
	if r.word.MatchString(text) {
		return true
	}
	if !strings.Contains(text, `\`) {
		return false
	}
	demands := document.Decode("", []byte(text)).Definition.Demands
	return slices.ContainsFunc(r.demands, func(name string) bool { _, has := demands[name]; return has })
}
