package strictyaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Schema returns the JSON Schema (2020-12) of what Decode accepts for v, a
// struct. Like Decode it panics if that holds a type that can't be decoded.
func Schema(v any, id, title string) []byte {
	s := schema{named: map[reflect.Type]string{}, definitions: object{}}
	root := s.properties(reflect.TypeOf(v))
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = id
	root["title"] = title
	if len(s.definitions) > 0 {
		root["$defs"] = s.definitions
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		panic(err) // it has nothing that JSON hasn't
	}
	return b.Bytes()
}

// An object is a JSON object; encoding/json sorts its keys.
type object map[string]any

// A schema collects the definitions of named structs.
type schema struct {
	named       map[reflect.Type]string
	definitions object
}

// of returns the schema of any type.
func (s *schema) of(t reflect.Type) object {
	switch {
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t == timeType:
		return object{"type": "string", "format": "date-time"}
	case t == durationType:
		return object{"type": "string", "pattern": `^[-+]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`}
	case takesMapping(t):
		return s.structure(t)
	case takesScalar(t):
		return anyScalar()
	case takesText(t) && t.Kind() == reflect.Slice:
		return object{"oneOf": []any{text(t), object{"type": "boolean"}, object{"type": "array", "items": s.of(t.Elem())}}}
	case takesText(t) && t.Kind() == reflect.Map:
		return object{"oneOf": []any{text(t), object{"type": "object", "minProperties": 1, "additionalProperties": s.of(t.Elem())}}}
	case takesText(t):
		return text(t)
	}
	switch t.Kind() {
	case reflect.String:
		return text(t)
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Interface:
		return anyScalar()
	case reflect.Float64:
		return object{"type": "number"}
	case reflect.Int, reflect.Int64:
		return object{"type": "integer"}
	case reflect.Slice:
		items := object{"type": "array", "items": s.of(t.Elem())}
		if short, is := reflect.New(t).Interface().(MappingShorthand); is {
			return object{"oneOf": []any{s.of(reflect.TypeOf(short.ForMapping()).Elem()), items}}
		}
		return items
	case reflect.Map:
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	}
	panic(fmt.Sprintf("strictyaml: %s has no schema", t))
}

func anyScalar() object { return object{"type": []string{"boolean", "number", "string"}} }

// text returns the schema of a type that is written as a string.
func text(t reflect.Type) object {
	o := object{"type": "string"}
	if v, is := reflect.New(t).Interface().(enumerator); is {
		o["enum"] = v.SchemaEnum()
	}
	return o
}

// structure returns the schema of a struct: a reference to its definition if
// it has a name.
func (s *schema) structure(t reflect.Type) object {
	if t.Name() == "" {
		return s.properties(t)
	}
	name, known := s.named[t]
	if !known {
		name = t.Name()
		for _, other := range s.named {
			if other == name {
				name = strings.ReplaceAll(t.PkgPath(), "/", ".") + "." + t.Name()
			}
		}
		s.named[t] = name
		o := s.properties(t)
		switch {
		case takesScalar(t):
			o = object{"anyOf": []object{anyScalar(), o}}
		case takesText(t):
			o = object{"anyOf": []object{text(t), o}}
		}
		s.definitions[name] = o
	}
	return object{"$ref": "#/$defs/" + name}
}

// properties returns the schema of the mapping that fills a struct.
func (s *schema) properties(t reflect.Type) object {
	properties := object{}
	var required []string
	for _, f := range fieldsOf(t) {
		property := s.of(t.Field(f.index).Type)
		if f.doc != "" {
			property["description"] = f.doc
			if f.reloads {
				property["description"] = f.doc + " Can be changed without a restart."
			}
		}
		if f.fallback != "" {
			property["default"] = defaultValue(f.fallback, t.Field(f.index).Type)
		}
		if f.required {
			required = append(required, f.name)
		}
		properties[f.name] = property
	}
	o := object{"type": "object", "properties": properties, "additionalProperties": false}
	if required != nil {
		o["required"] = required
	}
	return o
}

// defaultValue returns the default tag as a JSON value of the field's type.
func defaultValue(tag string, t reflect.Type) any {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	isText := t.Kind() == reflect.String || t == durationType || t == timeType || takesText(t)
	if !isText && json.Valid([]byte(tag)) {
		return json.RawMessage(tag)
	}
	return tag
}
