// Package strictjson reads JSON in the one way in which everybody reads it.
//
// encoding/json takes the last of two equal names, finds a field whatever the
// case of its name, passes over members that it doesn't know, replaces what is
// not Unicode, and rounds numbers. Here each of these is an [Error], which says
// where in the text it is. The reading is that of encoding/json/v2, which Go has
// from 1.27 on.
package strictjson

import (
	"bytes"
	"cmp"
	"encoding"
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// A Kind is what is wrong with a text, for programs.
type Kind string

const (
	Encoding  Kind = "encoding"  // not UTF-8, or half of a surrogate pair
	Syntax    Kind = "syntax"    // not one JSON value
	Duplicate Kind = "duplicate" // a name that is twice in an object
	Unknown   Kind = "unknown"   // a member that the type doesn't have
	Missing   Kind = "missing"   // a member that must be there
	Type      Kind = "type"      // a value of another type, out of its range, or null
	Value     Kind = "value"     // a value that its type's UnmarshalText, or Numbers, refuse
	Limit     Kind = "limit"     // too deep, or too many values
)

// An Error is why a text is not read.
type Error struct {
	Kind    Kind
	Path    string // of the value, as "set.phase" or "roles[1]"; "" is the text as a whole
	Offset  int    // of Syntax: in the text, in bytes
	Message string // what is wrong with the value
	Err     error  // of Value: what was said of it
}

// Error names the value, or for what is not JSON the position.
func (e *Error) Error() string {
	switch {
	case e.Kind == Syntax:
		return fmt.Sprintf("%s at byte %d", e.Message, e.Offset)
	case e.Path == "":
		return e.Message
	}
	return e.Path + ": " + e.Message
}

func (e *Error) Unwrap() error { return e.Err }

// Options are what a text may be. The zero Options take what this package's
// Unmarshal does.
type Options struct {
	// Depth is how many objects and lists there may be within each other;
	// 0 stands for 1000.
	Depth int
	// Values is how many values there may be in all; 0 is any number.
	Values int
	// Complete wants each member whose tag has neither omitempty nor
	// omitzero, and none that is null.
	Complete bool
	// Numbers is what numbers become that are read into an any. nil makes
	// them a json.Number.
	Numbers Numbers
}

// Numbers read numbers into an any.
type Numbers *json.Unmarshalers

// NumbersBy returns the Numbers that are what a function returns. It is meant to
// be called once for a function, as they keep what they learn of types.
func NumbersBy(read func(literal string) (any, error)) Numbers {
	return json.UnmarshalFromFunc(func(d *jsontext.Decoder, v *any) error {
		if d.PeekKind() != '0' {
			return errors.ErrUnsupported
		}
		literal, err := d.ReadValue()
		if err == nil {
			*v, err = read(string(literal))
		}
		return err
	})
}

var asWritten = NumbersBy(func(literal string) (any, error) { return stdjson.Number(literal), nil })

// Unmarshal reads a text into what v points to, by the tags of encoding/json. A
// field of type any gets a map[string]any, []any, string, bool, nil or a
// json.Number. The error is an *Error.
func Unmarshal(text []byte, v any) error { return Options{}.Unmarshal(text, v) }

// Unmarshal reads a text into what v points to, whatever was there.
func (o Options) Unmarshal(text []byte, v any) error {
	if !utf8.Valid(text) {
		return &Error{Kind: Encoding, Message: "not UTF-8"}
	}
	into := reflect.ValueOf(v).Elem()
	if err := o.scan(text, into.Type()); err != nil {
		return err
	}
	into.SetZero()
	numbers := json.WithUnmarshalers(cmp.Or(o.Numbers, asWritten))
	if err := json.Unmarshal(text, v, json.RejectUnknownMembers(true), numbers); err != nil {
		return describe(text, err)
	}
	if o.Complete {
		var tree any
		_ = json.Unmarshal(text, &tree) // it is JSON
		if path := missing(into.Type(), tree); path != "" {
			return &Error{Kind: Missing, Path: formatPath(jsontext.Pointer(path)), Message: "missing"}
		}
	}
	return nil
}

// scan returns what is wrong with the first value of a text, whatever it is
// read into; but a null isn't what a t is.
func (o Options) scan(text []byte, t reflect.Type) error {
	depth := cmp.Or(o.Depth, 1000)
	d := jsontext.NewDecoder(bytes.NewBuffer(text))
	for values := 0; ; {
		token, err := d.ReadToken()
		if err != nil {
			return describe(text, err)
		}
		kind := token.Kind()
		in, n := d.StackIndex(d.StackDepth())
		if name := in == '{' && n%2 == 1; !name && kind != '}' && kind != ']' {
			values++
		}
		e := &Error{Limit, "", int(d.InputOffset()), "", nil}
		switch {
		case d.StackDepth() > depth:
			e.Message = fmt.Sprintf("nested deeper than %d levels", depth)
		case o.Values > 0 && values > o.Values:
			e.Message = fmt.Sprintf("more than %d values", o.Values)
		case o.Complete && kind == 'n' && d.StackDepth() == 0:
			e.Kind, e.Message = Type, "not "+nameOf(t)
		case o.Complete && kind == 'n':
			e.Kind, e.Message = Type, "null: leave it out"
		case d.StackDepth() == 0:
			return nil
		default:
			continue
		}
		e.Path = formatPath(d.StackPointer())
		return e
	}
}

// describe returns the Error for one of the JSON reader.
func describe(text []byte, err error) *Error {
	if err == io.EOF {
		return &Error{Kind: Syntax, Offset: len(text), Message: "unexpected end"}
	}
	if s, ok := errors.AsType[*jsontext.SyntacticError](err); ok {
		e := &Error{Syntax, formatPath(s.JSONPointer), int(s.ByteOffset), "not one JSON value", nil}
		switch {
		case s.Err == io.ErrUnexpectedEOF:
			e.Message = "unexpected end"
		case s.Err == jsontext.ErrDuplicateName:
			e.Kind, e.Message = Duplicate, "duplicate member"
		case jsontext.Value(text).IsValid(jsontext.AllowInvalidUTF8(true), jsontext.AllowDuplicateNames(true)):
			e.Kind, e.Message = Encoding, "half of a character: of \\ud800 to \\udfff two come together"
		}
		return e
	}
	s := err.(*json.SemanticError)
	e := &Error{Type, formatPath(s.JSONPointer), int(s.ByteOffset), "not " + nameOf(s.GoType), nil}
	switch {
	case s.Err == json.ErrUnknownName:
		e.Kind, e.Message = Unknown, "unknown member"
	case s.GoType == reflect.TypeFor[*any](), readsText(s.GoType) && s.JSONKind == '"' && s.GoType != timeType:
		e.Kind, e.Message, e.Err = Value, shorten(s.Err.Error(), 200), s.Err
	}
	return e
}

// missing returns the pointer to the first member that a type has and a value
// of it hasn't, "" for none.
func missing(t reflect.Type, value any) string {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	switch value := value.(type) {
	case []any:
		for i, item := range value {
			if path := missing(t.Elem(), item); path != "" {
				return fmt.Sprintf("/%d%s", i, path)
			}
		}
	case map[string]any:
		if t.Kind() != reflect.Struct {
			return ""
		}
		for _, f := range reflect.VisibleFields(t) {
			name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
			if f.Anonymous || !f.IsExported() || name == "-" {
				continue
			}
			name = cmp.Or(name, f.Name)
			member, found := value[name]
			path := missing(f.Type, member)
			if path != "" || !found && options == "" {
				return string(jsontext.Pointer("").AppendToken(name)) + path
			}
		}
	}
	return ""
}

// nameOf says what a value of a type has to be.
func nameOf(t reflect.Type) string {
	switch v := reflect.Zero(t); {
	case t == timeType:
		return "a time with a zone, as in 2026-12-01T00:00:00Z"
	case readsText(t), t.Kind() == reflect.String:
		return "a string"
	case t.Kind() == reflect.Bool:
		return "true or false"
	case v.CanUint():
		return fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-t.Bits()))
	case v.CanInt():
		return "a whole number"
	case v.CanFloat():
		return "a number"
	case t == reflect.TypeFor[[]byte]():
		return "a string in base64"
	case t.Kind() == reflect.Slice:
		return "a list"
	case t.Kind() == reflect.Struct, t.Kind() == reflect.Map:
		return "an object"
	}
	return "what belongs here"
}

var timeType = reflect.TypeFor[time.Time]()

// readsText reports whether a type reads its values from text by itself.
func readsText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// formatPath writes a pointer as a path: /roles/1 is roles[1].
func formatPath(p jsontext.Pointer) string {
	var path strings.Builder
	for name := range p.Tokens() {
		name = shorten(name, 64)
		switch {
		case strings.Trim(name, "0123456789") == "" && name != "":
			name = "[" + name + "]"
		case path.Len() > 0:
			name = "." + name
		}
		path.WriteString(name)
	}
	return shorten(path.String(), 256)
}

// shorten cuts a text to a length that a message can have.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
