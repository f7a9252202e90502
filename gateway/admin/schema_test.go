package admin_test

import (
	"encoding"
	"encoding/json"
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy"
)

// An object is one of JSON.
type object = map[string]any

// schemas are those of Go types, as components of an OpenAPI document. What
// fields mean is what their comments say.
type schemas struct {
	t       testing.TB
	named   object
	sources map[string]*source // by import path
}

func newSchemas(t testing.TB) *schemas {
	return &schemas{t: t, named: object{}, sources: map[string]*source{}}
}

// request returns the schema of what is read: nothing but what is known.
func (s *schemas) request(t reflect.Type) object {
	ref := s.of(t)
	s.close(t)
	return ref
}

func (s *schemas) close(t reflect.Type) {
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	named, is := s.named[nameOf(t)].(object)
	if !is || t.Kind() != reflect.Struct {
		return
	}
	named["additionalProperties"] = false
	for i := range t.NumField() {
		s.close(t.Field(i).Type)
	}
}

// nameOf is the name of a type's schema.
func nameOf(t reflect.Type) string {
	if of := path.Base(t.PkgPath()); of != "api" {
		return of + "." + t.Name()
	}
	return t.Name()
}

// of returns the schema of a type, or a reference to it.
func (s *schemas) of(t reflect.Type) object {
	_, isText := reflect.New(t).Interface().(encoding.TextMarshaler)
	switch {
	case t.Kind() == reflect.Pointer:
		return s.of(t.Elem())
	case t == reflect.TypeFor[time.Time]():
		return object{"type": "string", "format": "date-time"}
	case t == reflect.TypeFor[policy.Value]():
		return object{"type": []any{"boolean", "number", "string"}}
	case isText, t.Kind() == reflect.String:
		return s.text(t)
	}
	switch t.Kind() {
	case reflect.Bool:
		return object{"type": "boolean"}
	case reflect.Int:
		return object{"type": "integer"}
	case reflect.Uint64:
		return object{"type": "integer", "minimum": 0}
	case reflect.Slice:
		return object{"type": "array", "items": s.of(t.Elem())}
	case reflect.Map:
		if t.Elem().Kind() == reflect.Interface {
			return object{"type": "object", "additionalProperties": true}
		}
		return object{"type": "object", "additionalProperties": s.of(t.Elem())}
	case reflect.Array: // of subdivisions: "" for none
		return object{"type": "array", "items": s.of(t.Elem()), "minItems": t.Len(), "maxItems": t.Len()}
	case reflect.Struct:
		name := nameOf(t)
		if s.named[name] == nil {
			o := object{"type": "object", "properties": object{}}
			s.named[name] = o
			if text := s.source(t).typeDoc(t.Name()); text != "" {
				o["description"] = text
			}
			s.fields(o, t)
		}
		return object{"$ref": "#/components/schemas/" + name}
	}
	s.t.Fatalf("%s has no schema", t)
	return nil
}

// text returns the schema of what is written as a string.
func (s *schemas) text(t reflect.Type) object {
	o := object{"type": "string"}
	v := reflect.New(t).Elem()
	switch v.Interface().(type) {
	case interface{ SchemaEnum() []string }:
		o["enum"] = v.Interface().(interface{ SchemaEnum() []string }).SchemaEnum()
	case policy.Action, policy.Reason:
		var all []string
		for ; !strings.Contains(fmt.Sprint(v), "("); v.SetUint(v.Uint() + 1) {
			all = append(all, fmt.Sprint(v))
		}
		o["enum"] = all
	default:
		if all := constantsOf(s.t, t); t.Kind() == reflect.String && all != nil && t != reflect.TypeFor[policy.Code]() {
			o["enum"] = all
		}
	}
	return o
}

// fields adds the members of a struct, those of embedded ones as its own.
func (s *schemas) fields(o object, t reflect.Type) {
	properties := o["properties"].(object)
	required, _ := o["required"].([]string)
	for i := range t.NumField() {
		f := t.Field(i)
		tag, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && tag == "":
			s.fields(o, f.Type)
			required, _ = o["required"].([]string)
			continue
		case !f.IsExported() || tag == "-":
			continue
		}
		property := s.of(f.Type)
		if text := s.source(t).fieldDoc(t.Name(), f.Name); text != "" {
			property["description"] = text
		} else if text := f.Tag.Get("doc"); text != "" {
			property["description"] = text
		}
		properties[tag] = property
		if options == "" {
			required = append(required, tag)
		}
	}
	if required != nil {
		slices.Sort(required)
		o["required"] = slices.Compact(required)
	}
}

// A source is the Go source of a package.
type source struct{ files []*ast.File }

func (s *schemas) source(t reflect.Type) *source {
	if s.sources[t.PkgPath()] == nil {
		s.sources[t.PkgPath()] = sourceOf(s.t, t)
	}
	return s.sources[t.PkgPath()]
}

func sourceOf(t testing.TB, of reflect.Type) *source {
	t.Helper()
	within, ours := strings.CutPrefix(of.PkgPath(), "github.com/exitgate/exitgate/")
	if !ours {
		return &source{}
	}
	files, err := filepath.Glob("../../" + within + "/*.go")
	if err != nil || files == nil {
		t.Fatalf("no source of %s: %v", of, err)
	}
	found := &source{}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		found.files = append(found.files, f)
	}
	return found
}

func (s *source) each(see func(*ast.GenDecl, ast.Spec)) {
	for _, f := range s.files {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok {
				for _, spec := range g.Specs {
					see(g, spec)
				}
			}
		}
	}
}

func (s *source) typeDoc(name string) (text string) {
	s.each(func(g *ast.GenDecl, spec ast.Spec) {
		if of, ok := spec.(*ast.TypeSpec); ok && of.Name.Name == name {
			text = inOneLine(g.Doc.Text())
		}
	})
	return text
}

func (s *source) fieldDoc(name, field string) (text string) {
	s.each(func(_ *ast.GenDecl, spec ast.Spec) {
		of, ok := spec.(*ast.TypeSpec)
		if !ok || of.Name.Name != name {
			return
		}
		for _, f := range of.Type.(*ast.StructType).Fields.List {
			for _, n := range f.Names {
				if n.Name == field {
					text = inOneLine(f.Doc.Text() + " " + f.Comment.Text())
				}
			}
		}
	})
	return text
}

func inOneLine(text string) string { return strings.Join(strings.Fields(text), " ") }

// constantsOf returns the constants of a type of strings.
func constantsOf(t testing.TB, of reflect.Type) (all []string) {
	t.Helper()
	if of.PkgPath() == "" {
		return nil
	}
	sourceOf(t, of).each(func(_ *ast.GenDecl, spec ast.Spec) {
		v, ok := spec.(*ast.ValueSpec)
		if !ok {
			return
		}
		if is, ok := v.Type.(*ast.Ident); ok && is.Name == of.Name() {
			for _, value := range v.Values {
				if literal, ok := value.(*ast.BasicLit); ok {
					all = append(all, constant.StringVal(constant.MakeFromLiteral(literal.Value, literal.Kind, 0)))
				}
			}
		}
	})
	return all
}

// conforms holds a value to a schema of the document. Unlike for other
// clients, there may be nothing that the schema doesn't name.
func conforms(doc object, schema any, value any, at string) error {
	s, ok := schema.(object)
	if !ok {
		return fmt.Errorf("%s: the schema %v is none", at, schema)
	}
	if ref, is := s["$ref"].(string); is {
		var target any = doc
		for _, step := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
			target = target.(object)[step]
		}
		return conforms(doc, target, value, at)
	}
	if all, is := s["allOf"].([]any); is {
		if err := conforms(doc, all[0], value, at); err != nil {
			return err
		}
		for name, property := range all[1].(object)["properties"].(object) {
			if err := conforms(doc, property, value.(object)[name], at+"."+name); err != nil {
				return err
			}
		}
		return nil
	}
	if fixed, is := s["const"]; is && fixed != value {
		return fmt.Errorf("%s is %v, not %v", at, value, fixed)
	}
	if enum, is := s["enum"].([]any); is && !slices.Contains(enum, value) {
		return fmt.Errorf("%s is %v, none of %v", at, value, enum)
	}
	if !ofType(s["type"], value) {
		return fmt.Errorf("%s is %v, of type %T, not %v", at, value, value, s["type"])
	}
	switch v := value.(type) {
	case string:
		if s["format"] == "date-time" {
			if _, err := time.Parse(time.RFC3339, v); err != nil {
				return fmt.Errorf("%s: %w", at, err)
			}
		}
	case []any:
		for i, item := range v {
			if err := conforms(doc, s["items"], item, fmt.Sprintf("%s[%d]", at, i)); err != nil {
				return err
			}
		}
	case object:
		properties, _ := s["properties"].(object)
		required, _ := s["required"].([]any)
		for _, name := range required {
			if _, found := v[name.(string)]; !found {
				return fmt.Errorf("%s.%s is missing", at, name)
			}
		}
		for name, member := range v {
			property, known := properties[name]
			if !known {
				if property = s["additionalProperties"]; property == true {
					continue
				} else if property == nil || property == false {
					return fmt.Errorf("%s.%s is nothing that the document knows", at, name)
				}
			}
			if err := conforms(doc, property, member, at+"."+name); err != nil {
				return err
			}
		}
	}
	return nil
}

func ofType(wanted, value any) bool {
	switch wanted := wanted.(type) {
	case nil:
		return true
	case []any:
		return slices.ContainsFunc(wanted, func(one any) bool { return ofType(one, value) })
	case string:
		switch v := value.(type) {
		case nil:
			return wanted == "null"
		case bool:
			return wanted == "boolean"
		case string:
			return wanted == "string"
		case float64:
			return wanted == "number" || wanted == "integer" && v == float64(int64(v))
		case []any:
			return wanted == "array"
		case object:
			return wanted == "object"
		}
	}
	return false
}

func TestTheSchemasAreHeldTo(t *testing.T) {
	doc := object{"components": object{"schemas": object{"Name": object{"type": "string", "enum": []any{"a", "b"}}}}}
	schema := object{
		"type":       "object",
		"properties": object{"name": object{"$ref": "#/components/schemas/Name"}, "ports": object{"type": "array", "items": object{"type": "integer"}}, "at": object{"type": "string", "format": "date-time"}},
		"required":   []any{"name"},
	}
	for value, fault := range map[string]string{
		`{"name": "a"}`:                    "",
		`{"name": "b", "ports": [1, 2]}`:   "",
		`{"name": "c"}`:                    ".name is c, none of [a b]",
		`{}`:                               ".name is missing",
		`{"name": "a", "ports": [1, 2.5]}`: ".ports[1] is 2.5, of type float64, not integer",
		`{"name": "a", "ports": null}`:     ".ports is <nil>, of type <nil>, not array",
		`{"name": "a", "more": 1}`:         ".more is nothing that the document knows",
		`{"name": "a", "at": "soon"}`:      `.at: parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"`,
		`[]`:                               " is [], of type []interface {}, not object",
	} {
		var v any
		if err := json.Unmarshal([]byte(value), &v); err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := conforms(doc, schema, v, ""); err != nil {
			got = err.Error()
		}
		if got != fault {
			t.Errorf("%s: got %q, not %q", value, got, fault)
		}
	}
}
