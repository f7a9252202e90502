package admin

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/exitgate/exitgate/gateway/admin/api"
)

// read reads the JSON of a body into the struct that v points to, and nothing
// in a way that the client may not have meant: a member that isn't known, is
// spelt otherwise, is there twice, is null, or is missing although its tag has
// neither omitempty nor omitzero is an error, as is text that isn't Unicode.
// encoding/json by itself takes all of these, and would copy a large policy
// several times.
func read(body []byte, v any) error {
	if !utf8.Valid(body) {
		return wrongBody("the body is not UTF-8", "send JSON in UTF-8, without compression")
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(body, new(skip)); errors.As(err, &syntax) {
		return wrongBody(fmt.Sprintf("the body is not JSON: %v, at byte %d", syntax, syntax.Offset), "send one JSON object")
	}
	r := reader{rest: body}
	if r.next() != '{' {
		return wrongBody("the body is not a JSON object", "send one")
	}
	if err := r.object("", reflect.ValueOf(v).Elem()); err != nil {
		return wrongBody(err.Error(), "see /v1/openapi.json for what this request takes")
	}
	return nil
}

func wrongBody(detail, advice string) error {
	return &api.Problem{Status: http.StatusBadRequest, Code: "body", Detail: detail, Advice: advice}
}

// A skip takes any JSON and keeps nothing of it.
type skip struct{}

func (*skip) UnmarshalJSON([]byte) error { return nil }

// A reader reads JSON that is known to be well-formed.
type reader struct{ rest []byte }

// next returns the first byte of what comes next.
func (r *reader) next() byte {
	r.rest = bytes.TrimLeft(r.rest, " \t\r\n")
	return r.rest[0]
}

// pass goes past one of some bytes, if it is what comes next.
func (r *reader) pass(any string) bool {
	found := strings.IndexByte(any, r.next()) >= 0
	if found {
		r.rest = r.rest[1:]
	}
	return found
}

// value reads what comes next into v. name is of the member, from the root on.
func (r *reader) value(name string, v reflect.Value) error {
	next := r.next()
	if next == 'n' {
		return fmt.Errorf("%s is null: leave it out", name)
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	_, isText := v.Addr().Interface().(encoding.TextUnmarshaler)
	switch {
	case v.Kind() == reflect.Struct && !isText:
		if next != '{' {
			return fmt.Errorf("%s is not an object", name)
		}
		return r.object(name, v)
	case v.Kind() == reflect.Slice:
		if next != '[' {
			return fmt.Errorf("%s is not a list", name)
		}
		return r.list(name, v)
	case next == '{' || next == '[' || (next == '"') != (isText || v.Kind() == reflect.String):
		return fmt.Errorf("%s is not %s", name, kind(v, isText))
	}
	literal, err := r.scalar()
	if err != nil {
		return fmt.Errorf("%s %w", name, err)
	}
	if err := json.Unmarshal(literal, v.Addr().Interface()); err != nil {
		if isText && v.Type() != reflect.TypeFor[time.Time]() {
			return fmt.Errorf("%s: %s", name, shortened(err.Error(), 200))
		}
		return fmt.Errorf("%s is not %s", name, kind(v, isText))
	}
	return nil
}

// kind says what a member has to be.
func kind(v reflect.Value, isText bool) string {
	switch {
	case v.Type() == reflect.TypeFor[time.Time]():
		return "a time with a zone, as in 2026-12-01T00:00:00Z"
	case isText, v.Kind() == reflect.String:
		return "a string"
	case v.Kind() == reflect.Bool:
		return "true or false"
	}
	return "a whole number from 0 to 18446744073709551615"
}

// object reads an object into a struct.
func (r *reader) object(name string, v reflect.Value) error {
	fields, missing := map[string]int{}, []string{}
	for i := range v.NumField() {
		tag, optional, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
		fields[tag] = i
		if optional == "" {
			missing = append(missing, tag)
		}
	}
	seen := map[string]bool{}
	r.rest = r.rest[1:]
	for !r.pass("}") {
		r.pass(",")
		r.next()
		literal, err := r.scalar()
		var member string
		if err == nil {
			err = json.Unmarshal(literal, &member)
		}
		path := within(name, shortened(member, 64))
		i, known := fields[member]
		switch {
		case err != nil:
			return fmt.Errorf("the name of a member of %s %w", cmp.Or(name, "the body"), err)
		case !known:
			return fmt.Errorf("%s is nothing that is known", path)
		case seen[member]:
			return fmt.Errorf("%s is there twice", path)
		}
		seen[member] = true
		r.pass(":")
		if err := r.value(path, v.Field(i)); err != nil {
			return err
		}
	}
	for _, member := range missing {
		if !seen[member] {
			return fmt.Errorf("%s is missing", within(name, member))
		}
	}
	return nil
}

func within(name, member string) string { return strings.TrimPrefix(name+"."+member, ".") }

// list reads a list into a slice.
func (r *reader) list(name string, v reflect.Value) error {
	r.rest = r.rest[1:]
	v.Set(reflect.MakeSlice(v.Type(), 0, 0))
	for i := 0; !r.pass("]"); i++ {
		r.pass(",")
		item := reflect.New(v.Type().Elem()).Elem()
		if err := r.value(fmt.Sprintf("%s[%d]", name, i), item); err != nil {
			return err
		}
		v.Set(reflect.Append(v, item))
	}
	return nil
}

// scalar returns the text of a string, a number or a literal.
func (r *reader) scalar() (text []byte, err error) {
	if r.rest[0] != '"' {
		end := bytes.IndexAny(r.rest, ",]} \t\r\n") // the object around it ends somewhere
		text, r.rest = r.rest[:end], r.rest[end:]
		return text, nil
	}
	end := 1
	for r.rest[end] != '"' {
		if r.rest[end] == '\\' {
			end++
		}
		end++
	}
	text, r.rest = r.rest[:end+1], r.rest[end+1:]
	if !wholeCharacters(text) {
		return nil, errors.New(`has half of a character: of \ud800 to \udfff two come together`)
	}
	return text, nil
}

// wholeCharacters says whether the escapes in a string that is well-formed are
// characters. encoding/json would read others as U+FFFD.
func wholeCharacters(text []byte) bool {
	for {
		_, after, found := bytes.Cut(text, []byte{'\\'})
		if !found {
			return true
		}
		text = after[1:]
		if after[0] != 'u' {
			continue
		}
		first := hexadecimal(after[1:])
		text = after[5:]
		if !utf16.IsSurrogate(first) {
			continue
		}
		if !bytes.HasPrefix(text, []byte(`\u`)) || utf16.DecodeRune(first, hexadecimal(text[2:])) == utf8.RuneError {
			return false
		}
		text = text[6:]
	}
}

// hexadecimal reads the four digits that come next.
func hexadecimal(text []byte) rune {
	n, _ := strconv.ParseUint(string(text[:4]), 16, 32) // they are digits
	return rune(n)
}

// shortened makes of what may be anything something that an answer can tell.
func shortened(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}
