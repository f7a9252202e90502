package control

import (
	"bytes"
	"encoding/json"
	"regexp"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
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
// an answer, not by which answer it is: none can be forgotten.
func (c *Control) Redact(by changes.Actor, answer []byte) []byte {
	names := c.Undisclosed(by)
	if len(names) == 0 {
		return answer
	}
	r := newRedaction(names)
	if !r.word.Match(answer) && !bytes.Contains(answer, []byte(`"disclose"`)) {
		return answer
	}
	var value any
	d := json.NewDecoder(bytes.NewReader(answer))
	d.UseNumber()
	if err := d.Decode(&value); err != nil {
		return nil // it isn't JSON: nobody knows what is in it
	}
	value, _ = r.value(value)
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(value); err != nil {
		return nil
	}
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

// value returns a value of JSON without what may not be known, and whether anything is
// left of it.
func (r redaction) value(v any) (redacted any, left bool) {
	switch v := v.(type) {
	case string:
		if r.word.MatchString(v) {
			return api.NotDisclosed, true
		}
	case []any:
		kept := make([]any, 0, len(v))
		for _, item := range v {
			if text, is := item.(string); is && slices.Contains(r.demands, text) {
				continue
			}
			if item, left := r.value(item); left {
				kept = append(kept, item)
			}
		}
		return kept, true
	case map[string]any:
		if r.isOf(v) {
			return nil, false
		}
		for key, item := range v {
			item, left := r.value(item)
			if !left || r.word.MatchString(key) {
				delete(v, key)
				continue
			}
			v[key] = item
		}
	}
	return v, true
}

// isOf reports whether an object is a demand that may not be disclosed, or about one.
func (r redaction) isOf(object map[string]any) bool {
	if disclose, said := object["disclose"].(bool); said && !disclose {
		return true
	}
	for _, key := range []string{"name", "id", "demand"} {
		if name, is := object[key].(string); is && slices.Contains(r.demands, name) {
			return true
		}
	}
	return false
}
