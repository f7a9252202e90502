// Package strictjson reads JSON in the one way in which everybody reads it.
//
// encoding/json takes the last of two equal names, finds a field whatever the
// case of its name, passes over members that it doesn't know, replaces what is
// not Unicode, and rounds numbers. Here each of these is an [Error], which says
// where in the text it is.
package strictjson

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// A Kind is what is wrong with a text, for programs.
type Kind string

const (
	Encoding  Kind = "encoding"  // not UTF-8, or half of a surrogate pair
	Syntax    Kind = "syntax"    // not one JSON value
	Duplicate Kind = "duplicate" // a name that is twice in an object
	Unknown   Kind = "unknown"   // a member that the type doesn't have
	Missing   Kind = "missing"   // a member that must be there
	Type      Kind = "type"      // a value of another type, or null
	Value     Kind = "value"     // a value that its type doesn't take
	Limit     Kind = "limit"     // too deep, or too many values
)

// An Error is why a text is not read.
type Error struct {
	Kind    Kind
	Path    string // of the value, as "set.phase" or "roles[1]"; "" is the text as a whole
	Offset  int    // in the text, in bytes
	Message string // what is wrong with the value
	Err     error  // of Value: what the type said
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
	// Number returns what a number becomes that is read into an any. nil
	// makes it a json.Number.
	Number func(literal string) (any, error)
}

// Unmarshal reads a text into what v points to, by the tags of encoding/json. A
// field of type any gets a map[string]any, []any, string, bool, nil or a
// json.Number. The error is an *Error.
func Unmarshal(text []byte, v any) error { return Options{}.Unmarshal(text, v) }

// Unmarshal reads a text into what v points to.
func (o Options) Unmarshal(text []byte, v any) error {
	if o.Depth == 0 {
		o.Depth = 1000
	}
	if o.Number == nil {
		o.Number = func(literal string) (any, error) { return json.Number(literal), nil }
	}
	if !utf8.Valid(text) {
		return &Error{Kind: Encoding, Message: "not UTF-8"}
	}
	r := reader{Options: o, text: text}
	err := r.value(reflect.ValueOf(v).Elem(), 0)
	if err == nil && r.next() != 0 {
		err = r.syntax("more after the end of the JSON value")
	}
	if err == nil {
		return nil
	}
	err.Path = shorten(strings.TrimPrefix(err.Path, "."), 256)
	return err
}

// value reads the value that comes next. depth is of the object or list that it
// is in.
func (r *reader) value(v reflect.Value, depth int) *Error {
	next := r.next()
	switch {
	case next == 0:
		return r.syntax("unexpected end")
	case strings.IndexByte(`"-0123456789tfn{[`, next) < 0:
		return r.syntax("not a JSON value")
	}
	if err := r.count(); err != nil {
		return err
	}
	if next == 'n' {
		if _, err := r.scalar(); err != nil {
			return err
		}
		if r.Complete {
			message := "null: leave it out"
			if r.values == 1 { // the whole text
				message = "not " + nameOf(v)
			}
			return &Error{Kind: Type, Offset: r.start, Message: message}
		}
		v.SetZero()
		return nil
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	if (next == '{' || next == '[') && depth == r.Depth {
		return r.fail(Limit, fmt.Sprintf("nested deeper than %d levels", r.Depth))
	}
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	_, special := v.Addr().Interface().(json.Unmarshaler)
	switch kind := v.Kind(); {
	case text:
		return r.leaf(v, next == '"')
	case special:
		return r.special(v, depth)
	case kind == reflect.Interface:
		return r.any(v, depth)
	case kind == reflect.Struct && next == '{':
		return r.object(v, depth)
	case kind == reflect.Map && next == '{':
		return r.mapping(v, depth)
	case kind == reflect.Slice && v.Type().Elem().Kind() != reflect.Uint8 && next == '[':
		return r.list(v, depth)
	case kind == reflect.Array && next == '[':
		return r.special(v, depth)
	case kind == reflect.String && next == '"':
		literal, err := r.scalar()
		if err != nil {
			return err
		}
		text, err := r.unquote(literal)
		v.SetString(text)
		return err
	case kind == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return r.leaf(v, next == '"')
	case kind == reflect.Bool:
		return r.leaf(v, next == 't' || next == 'f')
	}
	return r.leaf(v, isNumber(v) && (next == '-' || '0' <= next && next <= '9'))
}

// leaf reads a string, number or boolean.
func (r *reader) leaf(v reflect.Value, fits bool) *Error {
	if !fits {
		return r.fail(Type, "not "+nameOf(v))
	}
	literal, err := r.scalar()
	if err != nil {
		return err
	}
	if kind := v.Kind(); reflect.Uint <= kind && kind <= reflect.Uint64 { // the usual number, without what decode takes
		if n, err := strconv.ParseUint(string(literal), 10, v.Type().Bits()); err == nil {
			v.SetUint(n)
			return nil
		}
	}
	return r.decode(literal, v)
}

// special reads a value whose type reads it by itself, from a text in which
// nothing is ambiguous.
func (r *reader) special(v reflect.Value, depth int) *Error {
	start := r.at
	var any any
	if err := r.any(reflect.ValueOf(&any).Elem(), depth); err != nil {
		return err
	}
	return r.decode(r.text[start:r.at], v)
}

func (r *reader) decode(text []byte, v reflect.Value) *Error {
	err := json.Unmarshal(text, v.Addr().Interface())
	if err == nil {
		return nil
	}
	if _, text := v.Addr().Interface().(encoding.TextUnmarshaler); text && v.Type() != reflect.TypeFor[time.Time]() {
		e := r.fail(Value, shorten(err.Error(), 200))
		e.Err = err
		return e
	}
	return r.fail(Value, "not "+nameOf(v))
}

// object reads an object into a struct.
func (r *reader) object(v reflect.Value, depth int) *Error {
	fields := fieldsOf(v.Type(), nil)
	err := r.members(func(name string) *Error {
		for i := range fields {
			f := &fields[i]
			if f.name != name {
				continue
			}
			if f.seen {
				return r.duplicate()
			}
			f.seen = true
			return r.member(v.FieldByIndex(f.index), depth+1)
		}
		return r.fail(Unknown, "unknown member")
	})
	for i := 0; err == nil && r.Complete && i < len(fields); i++ {
		if f := fields[i]; !f.seen && !f.optional {
			err = r.fail(Missing, "missing")
			err.Path = "." + f.name
		}
	}
	return err
}

// A field is where a member of an object goes.
type field struct {
	name     string
	index    []int
	optional bool
	seen     bool
}

// fieldsOf returns the fields of a struct, those of embedded ones as its own.
func fieldsOf(t reflect.Type, within []int) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		index := append(within[:len(within):len(within)], i)
		name, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && name == "" && f.Type.Kind() == reflect.Struct:
			fields = append(fields, fieldsOf(f.Type, index)...)
		case f.IsExported() && name != "-":
			if name == "" {
				name = f.Name
			}
			fields = append(fields, field{name: name, index: index, optional: options != ""})
		}
	}
	return fields
}

// mapping reads an object into a map.
func (r *reader) mapping(v reflect.Value, depth int) *Error {
	v.Set(reflect.MakeMap(v.Type()))
	return r.members(func(name string) *Error {
		key := reflect.New(v.Type().Key()).Elem()
		if key.Kind() != reflect.String {
			return r.fail(Type, "a name that can't be one here")
		}
		key.SetString(name)
		if v.MapIndex(key).IsValid() {
			return r.duplicate()
		}
		value := reflect.New(v.Type().Elem()).Elem()
		err := r.member(value, depth+1)
		v.SetMapIndex(key, value)
		return err
	})
}

// list reads a list into a slice.
func (r *reader) list(v reflect.Value, depth int) *Error {
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	return r.items(func() *Error {
		v.Grow(1)
		v.SetLen(v.Len() + 1)
		return r.value(v.Index(v.Len()-1), depth+1)
	})
}

// any reads whatever comes next.
func (r *reader) any(v reflect.Value, depth int) *Error {
	value, err := r.generic(depth)
	if err == nil && value != nil {
		v.Set(reflect.ValueOf(value))
	}
	return err
}

// generic reads any value. The one that it is in counts it.
func (r *reader) generic(depth int) (any, *Error) {
	next := r.next()
	if (next == '{' || next == '[') && depth == r.Depth {
		return nil, r.fail(Limit, fmt.Sprintf("nested deeper than %d levels", r.Depth))
	}
	switch next {
	case '{':
		object := map[string]any{}
		return object, r.members(func(name string) (err *Error) {
			if _, twice := object[name]; twice {
				return r.duplicate()
			}
			if err = r.colon(); err == nil {
				err = r.count()
			}
			if err == nil {
				object[name], err = r.generic(depth + 1)
			}
			return err
		})
	case '[':
		list := []any{}
		err := r.items(func() *Error {
			if err := r.count(); err != nil {
				return err
			}
			item, err := r.generic(depth + 1)
			list = append(list, item)
			return err
		})
		return list, err
	}
	literal, err := r.scalar()
	switch {
	case err != nil:
		return nil, err
	case literal[0] == '"':
		return r.unquote(literal)
	case literal[0] == 't':
		return true, nil
	case literal[0] == 'f':
		return false, nil
	case literal[0] == 'n':
		return nil, nil
	}
	number, wrong := r.Number(string(literal))
	if wrong != nil {
		err = r.fail(Value, wrong.Error())
		err.Err = wrong
	}
	return number, err
}

func isNumber(v reflect.Value) bool { return v.CanInt() || v.CanUint() || v.CanFloat() }

// nameOf says what a value has to be.
func nameOf(v reflect.Value) string {
	_, text := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		return "a time with a zone, as in 2026-12-01T00:00:00Z"
	case text, v.Kind() == reflect.String:
		return "a string"
	case v.Kind() == reflect.Bool:
		return "true or false"
	case v.CanUint():
		return fmt.Sprintf("a whole number from 0 to %d", ^uint64(0)>>(64-v.Type().Bits()))
	case v.CanInt():
		return "a whole number"
	case v.CanFloat():
		return "a number"
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return "a string in base64"
	case v.Kind() == reflect.Slice:
		return "a list"
	case v.Kind() == reflect.Struct, v.Kind() == reflect.Map:
		return "an object"
	}
	return "what belongs here"
}

// shorten cuts a text to a length that a message can have.
func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
