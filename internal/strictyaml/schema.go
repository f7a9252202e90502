package strictyaml

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
)

// Schema returns the JSON Schema (2020-12) of what Decode accepts for v, a
// struct or a pointer to one. Beside the tags that the package's comment
// lists, it asks a type for SchemaEnum() []string, SchemaPattern() string and
// SchemaFormat() string.
func Schema(v any, id, title string) ([]byte, error) {
	t := reflect.TypeOf(v)
	for t != nil && t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t == nil || t.Kind() != reflect.Struct {
		return nil, fmt.Errorf("strictyaml: schema of %T: want a struct", v)
	}
	s := schema{named: map[reflect.Type]string{}, definitions: object{}}
	root, err := s.properties(t)
	if err != nil {
		return nil, fmt.Errorf("strictyaml: schema of %s: %w", t, err)
	}
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
		return nil, fmt.Errorf("strictyaml: schema of %s: %w", t, err)
	}
	return b.Bytes(), nil
}

// An object is a JSON object; encoding/json sorts its keys.
type object map[string]any

// A schema collects the definitions of named structs.
type schema struct {
	named       map[reflect.Type]string
	definitions object
}

// of returns the schema of any type.
func (s *schema) of(t reflect.Type) (object, error) {
	switch {
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t == timeType:
		return object{"type": "string", "format": "date-time"}, nil
	case t == durationType:
		return object{"type": "string", "pattern": `^[-+]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`}, nil
	case takesMapping(t):
		return s.structure(t)
	case takesScalar(t):
		return anyScalar(), nil
	case takesText(t) && t.Kind() == reflect.Slice:
		items, err := s.of(t.Elem())
		if err != nil {
			return nil, err
		}
		return object{"oneOf": []any{text(t), object{"type": "boolean"}, object{"type": "array", "items": items}}}, nil
	case takesText(t):
		return text(t), nil
	}
	switch t.Kind() {
	case reflect.String:
		return text(t), nil
	case reflect.Bool:
		return object{"type": "boolean"}, nil
	case reflect.Interface:
		return anyScalar(), nil
	case reflect.Float32, reflect.Float64:
		return object{"type": "number"}, nil
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		if t.Bits() == 64 {
			return object{"type": "integer"}, nil
		}
		low, high := intRange(t)
		return object{"type": "integer", "minimum": low, "maximum": high}, nil
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		if t.Bits() == 64 {
			return object{"type": "integer", "minimum": 0}, nil
		}
		return object{"type": "integer", "minimum": 0, "maximum": uintMax(t)}, nil
	case reflect.Slice:
		items, err := s.of(t.Elem())
		return object{"type": "array", "items": items}, err
	case reflect.Map:
		if t.Key().Kind() != reflect.String {
			return nil, fmt.Errorf("%s: keys must be strings", t)
		}
		values, err := s.of(t.Elem())
		o := object{"type": "object", "additionalProperties": values}
		if names := text(t.Key()); len(names) > 1 {
			delete(names, "type")
			o["propertyNames"] = names
		}
		return o, err
	}
	return nil, fmt.Errorf("%s has no schema", t)
}

func anyScalar() object { return object{"type": []string{"boolean", "number", "string"}} }

// text returns the schema of a type that is written as a string.
func text(t reflect.Type) object {
	o := object{"type": "string"}
	v := reflect.New(t).Interface()
	if v, is := v.(enumerator); is {
		o["enum"] = v.SchemaEnum()
	}
	if v, is := v.(interface{ SchemaPattern() string }); is {
		o["pattern"] = v.SchemaPattern()
	}
	if v, is := v.(interface{ SchemaFormat() string }); is {
		o["format"] = v.SchemaFormat()
	}
	return o
}

// structure returns the schema of a struct: a reference to its definition if
// it has a name.
func (s *schema) structure(t reflect.Type) (object, error) {
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
		o, err := s.properties(t)
		if err != nil {
			return nil, err
		}
		switch {
		case takesScalar(t):
			o = object{"anyOf": []object{anyScalar(), o}}
		case takesText(t):
			o = object{"anyOf": []object{text(t), o}}
		}
		s.definitions[name] = o
	}
	return object{"$ref": "#/$defs/" + name}, nil
}

// properties returns the schema of the mapping that fills a struct.
func (s *schema) properties(t reflect.Type) (object, error) {
	properties := object{}
	var required []string
	for _, f := range fieldsOf(t) {
		property, err := s.of(t.Field(f.index).Type)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.name, err)
		}
		if f.doc != "" {
			property["description"] = f.doc
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
	return o, nil
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
