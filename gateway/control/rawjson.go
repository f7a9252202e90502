package control

import (
	"bytes"
	"encoding/json"
)

// A member is a name of a JSON object with its value.
type member struct {
	key   string
	value json.RawMessage
	left  bool // unless it is left out
}

// decodeObject returns the members of a valid object, in order.
func decodeObject(object json.RawMessage) (members []member) {
	d := json.NewDecoder(bytes.NewReader(object))
	_, _ = d.Token() // {
	for d.More() {
		key, _ := d.Token()
		m := member{left: true}
		m.key, _ = key.(string)
		if d.Decode(&m.value) != nil {
			return nil // it isn't valid
		}
		members = append(members, m)
	}
	return members
}

// encodeObject returns an object of the members that are left.
func encodeObject(members []member) json.RawMessage {
	b := bytes.NewBufferString("{")
	for _, m := range members {
		if !m.left {
			continue
		}
		if b.Len() > 1 {
			b.WriteByte(',')
		}
		b.Write(encodeString(m.key))
		b.WriteByte(':')
		b.Write(m.value)
	}
	b.WriteByte('}')
	return b.Bytes()
}

// encodeList returns a list of items.
func encodeList(items []json.RawMessage) json.RawMessage {
	list := json.RawMessage("[")
	for i, item := range items {
		if i > 0 {
			list = append(list, ',')
		}
		list = append(list, item...)
	}
	return append(list, ']')
}

// decodeString returns a text, "" of what is none.
func decodeString(value json.RawMessage) (text string) {
	if json.Unmarshal(value, &text) != nil {
		return ""
	}
	return text
}

func encodeString(text string) json.RawMessage {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(text) // a string can be encoded
	return bytes.TrimSpace(b.Bytes())
}
