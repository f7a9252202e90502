package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Kind is the type of a flag. OpenFeature's objects are not among them: no
// guarantee could be given on one.
type Kind uint8

const (
	Boolean Kind = iota
	Integer
	Float
	String
)

var kindNames = [...]string{"boolean", "integer", "float", "string"}

func (k Kind) String() string { return nameOf(kindNames[:], k, "Kind") }

// MarshalText writes the type's name.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText reads a type's name.
func (k *Kind) UnmarshalText(text []byte) error {
	return parseName(kindNames[:], k, text, "the type of a flag")
}

// A Value is the value of a flag: a boolean, an integer, a float or a string.
// Values are compared with ==. The zero Value is no value.
type Value struct{ of any } // nil, bool, int64, float64 or string

// ValueOf returns what is in v as a Value. Other types than bool, int, int64,
// float64 and string have no Value.
func ValueOf(v any) (Value, bool) {
	switch v := v.(type) {
	case bool, int64, float64, string:
		return Value{v}, true
	case int:
		return Value{int64(v)}, true
	}
	return Value{}, false
}

// Any returns the bool, int64, float64 or string that the Value is, nil for no
// value.
func (v Value) Any() any { return v.of }

// IsZero reports whether there is no value.
func (v Value) IsZero() bool { return v.of == nil }

// Kind returns the type of the value.
func (v Value) Kind() Kind {
	switch v.of.(type) {
	case int64:
		return Integer
	case float64:
		return Float
	case string:
		return String
	}
	return Boolean
}

// String writes the value as the policy does; long strings are cut short.
func (v Value) String() string {
	switch of := v.of.(type) {
	case bool:
		return strconv.FormatBool(of)
	case int64:
		return strconv.FormatInt(of, 10)
	case float64:
		text := strconv.FormatFloat(of, 'f', -1, 64)
		if !strings.ContainsAny(text, ".nI") { // NaN, Inf
			text += ".0"
		}
		return text
	case string:
		if len(of) > 60 {
			return strconv.Quote(strings.ToValidUTF8(of[:57], "")) + "…"
		}
		return strconv.Quote(of)
	}
	return "no value"
}

// MarshalJSON writes the value itself, null for none. A float always has a
// fraction or an exponent, by which it is distinguished from an integer.
func (v Value) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(v.of)
	if _, isFloat := v.of.(float64); isFloat && err == nil && !bytes.ContainsAny(text, ".e") {
		text = append(text, ".0"...)
	}
	return text, err
}

// UnmarshalJSON reads a boolean, a number, a string, or null. A number without
// fraction and exponent is an integer.
func (v *Value) UnmarshalJSON(text []byte) error {
	var of any
	switch {
	case len(text) > 0 && (text[0] == '-' || '0' <= text[0] && text[0] <= '9'):
		if i, err := strconv.ParseInt(string(text), 10, 64); err == nil {
			v.of = i
			return nil
		}
		var f float64
		err := json.Unmarshal(text, &f)
		v.of = f
		return err
	case string(text) == "null":
		*v = Value{}
		return nil
	default:
		if err := json.Unmarshal(text, &of); err != nil {
			return err
		}
	}
	value, ok := ValueOf(of)
	if !ok {
		return fmt.Errorf("%.40s is no boolean, number or string", text)
	}
	*v = value
	return nil
}

// UnmarshalScalar takes what a YAML scalar means.
func (v *Value) UnmarshalScalar(scalar any) error {
	value, ok := ValueOf(scalar)
	if !ok {
		return fmt.Errorf("%T is no value of a flag", scalar)
	}
	*v = value
	return nil
}

// What a structured field can carry (RFC 9651 sections 3.3.1 and 3.3.2), and
// how long a string may be such that all flags fit into one field.
const (
	maxInteger = 999_999_999_999_999
	maxFloat   = 1e12
	maxString  = 256
)

// CheckSendable returns nil if an app can be sent the value in a structured field
// (RFC 9651), else why not.
func (v Value) CheckSendable() error {
	switch of := v.of.(type) {
	case int64:
		if of > maxInteger || of < -maxInteger {
			return errors.New("it has more than 15 digits")
		}
	case float64:
		switch {
		case math.IsNaN(of) || math.IsInf(of, 0) || math.Abs(of) >= maxFloat:
			return errors.New("it is not a number below 1,000,000,000,000")
		case math.Round(of*1000)/1000 != of:
			return errors.New("it has more than three decimals")
		}
	case string:
		switch {
		case len(of) > maxString:
			return fmt.Errorf("it has more than %d bytes", maxString)
		case !utf8.ValidString(of):
			return errors.New("it is not UTF-8")
		}
	}
	return nil
}

// As returns the value as one of a kind: an integer is a float, too, where the
// other values of a flag are.
func (v Value) As(kind Kind) (Value, bool) {
	if i, ok := v.of.(int64); ok && kind == Float {
		return Value{float64(i)}, true
	}
	return v, !v.IsZero() && v.Kind() == kind
}
