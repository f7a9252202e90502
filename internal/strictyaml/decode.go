package strictyaml

import (
	"encoding"
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/exitgate/exitgate/internal/zonedtime"
)

var (
	timeType          = reflect.TypeFor[time.Time]()
	durationType      = reflect.TypeFor[time.Duration]()
	textUnmarshaler   = reflect.TypeFor[encoding.TextUnmarshaler]()
	scalarUnmarshaler = reflect.TypeFor[ScalarUnmarshaler]()
	mappingShorthand  = reflect.TypeFor[MappingShorthand]()
)

// A ScalarUnmarshaler decodes itself from what a scalar means: a bool, an
// int64, a finite float64 or a string.
type ScalarUnmarshaler interface{ UnmarshalScalar(scalar any) error }

// A MappingShorthand is a slice that a mapping may stand for: ForMapping makes it one
// item, and returns a pointer to the part of it that the mapping is decoded into.
type MappingShorthand interface{ ForMapping() any }

// An enumerator is a type that only takes certain strings.
type enumerator interface{ SchemaEnum() []string }

// A decoder decodes nodes into values, and reports to its Document what it
// can't decode.
type decoder struct {
	*Document
	fields map[reflect.Type][]field
}

// A field is a struct's field that a document can set.
type field struct {
	name     string
	index    int
	required bool
	doc      string
	fallback string // the default tag
	reloads  bool   // the reload tag
}

// fieldsOf lists the fields of a struct that have a yaml tag.
func fieldsOf(t reflect.Type) []field {
	var fields []field
	for i := range t.NumField() {
		f := t.Field(i)
		if name := nameOf(f); name != "" {
			fields = append(fields, field{name, i, f.Tag.Get("required") == "true", f.Tag.Get("doc"), f.Tag.Get("default"), f.Tag.Get("reload") == "true"})
		}
	}
	return fields
}

// nameOf returns the key of a struct's field, "" if no document can set it.
func nameOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
	if name == "-" || !f.IsExported() {
		return ""
	}
	return name
}

// reject reports an error about the node, and so that no more will be said
// about it.
func (d *Document) reject(n *node, advice, format string, args ...any) {
	n.wrong = true
	d.report(n.at, advice, format, args...)
}

// decode sets v to what the node says, or reports why it can't.
func (d *decoder) decode(n *node, v reflect.Value) {
	t := v.Type()
	switch {
	case n.kind == refused, n.wrong, d.full():
	case t.Kind() == reflect.Pointer:
		to := reflect.New(t.Elem())
		if !v.IsNil() {
			to.Elem().Set(v.Elem())
		}
		if d.decode(n, to.Elem()); !n.wrong {
			v.Set(to)
		}
	case n.isNull():
		d.reject(n, "write a value, or remove it", "want %s, found nothing (null)", describeType(t))
	case t == timeType:
		d.decodeTime(n, v)
	case t == durationType:
		d.decodeDuration(n, v)
	case takesScalar(t) && (n.kind == scalar || !takesMapping(t)):
		d.decodeOwnScalar(n, v)
	case takesText(t) && (n.kind == scalar || !takesMapping(t) && t.Kind() != reflect.Slice && t.Kind() != reflect.Map):
		d.decodeText(n, v)
	case t.Kind() == reflect.Struct:
		d.decodeStruct(n, v)
	case t.Kind() == reflect.Map:
		d.decodeMap(n, v)
	case t.Kind() == reflect.Slice:
		d.decodeSlice(n, v)
	default:
		d.decodeScalar(n, v)
	}
}

// takesText reports whether the type decodes itself from a scalar.
func takesText(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(textUnmarshaler)
}

// takesScalar reports whether the type decodes itself from what a scalar means.
func takesScalar(t reflect.Type) bool {
	return reflect.PointerTo(t).Implements(scalarUnmarshaler)
}

// takesMapping reports whether the type is a struct that a mapping can fill.
func takesMapping(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || !takesText(t) && !takesScalar(t) {
		return t.Kind() == reflect.Struct
	}
	return len(fieldsOf(t)) > 0
}

// decodeStruct decodes a struct.
func (d *decoder) decodeStruct(n *node, v reflect.Value) {
	if n.kind != mapping {
		d.rejectType(n, v.Type(), "")
		return
	}
	fields := d.fieldsOf(v.Type())
	for i, key := range n.keys {
		if d.full() {
			return
		}
		at := slices.IndexFunc(fields, func(f field) bool { return f.name == key.text })
		if at < 0 {
			if meant := d.rejectKey(key, fields); meant != "" {
				n.missing = append(n.missing, meant)
			}
			n.items[i].wrong = true
			continue
		}
		d.decode(n.items[i], v.Field(fields[at].index))
	}
	for _, f := range fields {
		if f.required && n.index(f.name) < 0 && !n.incomplete && !slices.Contains(n.missing, f.name) {
			n.missing = append(n.missing, f.name)
			d.report(n.at, adviseField(f), "the key %q is missing", f.name)
		}
	}
}

func (d *decoder) fieldsOf(t reflect.Type) []field {
	fields, known := d.fields[t]
	if !known {
		fields = fieldsOf(t)
		d.fields[t] = fields
	}
	return fields
}

func adviseField(f field) string {
	if f.doc == "" {
		return fmt.Sprintf("add %q", f.name+":")
	}
	return fmt.Sprintf("add %q. %s", f.name+":", f.doc)
}

// rejectKey reports a key that the struct doesn't have, and returns the one that
// seems to be meant.
func (d *decoder) rejectKey(key *node, fields []field) (meant string) {
	var names []string
	for _, f := range fields {
		names = append(names, f.name)
	}
	slices.Sort(names)
	advice := "possible here: " + strings.Join(names, ", ")
	meant, found := nearest(key.text, names)
	if found {
		advice = fmt.Sprintf("did you mean %q?", meant)
	}
	d.reject(key, advice, "unknown key %q", shorten(key.text))
	return meant
}

// decodeMap decodes a map with keys that are strings.
func (d *decoder) decodeMap(n *node, v reflect.Value) {
	t := v.Type()
	if t.Key().Kind() != reflect.String {
		panic(fmt.Sprintf("strictyaml: cannot decode %s: keys must be strings", t))
	}
	if n.kind != mapping {
		d.rejectType(n, t, "")
		return
	}
	entries := reflect.MakeMapWithSize(t, len(n.keys))
	k, value := reflect.New(t.Key()).Elem(), reflect.New(t.Elem()).Elem()
	for i, key := range n.keys {
		if d.full() {
			return
		}
		k.SetZero()
		value.SetZero()
		if d.decodeScalar(key, k); takesText(t) && key.text == "" && !key.wrong {
			d.reject(key, "write a key before the colon", "an empty key") // it stands for the text alone
		}
		d.decode(n.items[i], value)
		if key.wrong {
			n.items[i].wrong = true
			continue
		}
		entries.SetMapIndex(k, value)
	}
	v.Set(entries)
}

// decodeSlice decodes a slice.
func (d *decoder) decodeSlice(n *node, v reflect.Value) {
	if n.kind == mapping {
		if short := reflect.New(v.Type()); short.Type().Implements(mappingShorthand) {
			d.decode(n, reflect.ValueOf(short.Interface().(MappingShorthand).ForMapping()).Elem())
			v.Set(short.Elem())
			return
		}
	}
	if n.kind != list {
		advice := ""
		if n.kind == scalar {
			advice = "write it as a list, in brackets: [ ]"
			if n.plain && !strings.ContainsAny(n.text, ",[]{}\n") {
				advice = fmt.Sprintf("write it as a list: [%s]", shorten(n.text))
			}
		}
		d.rejectType(n, v.Type(), advice)
		return
	}
	items := reflect.MakeSlice(v.Type(), len(n.items), len(n.items))
	for i, item := range n.items {
		d.decode(item, items.Index(i))
	}
	v.Set(items)
}

// decodeText decodes a value that implements encoding.TextUnmarshaler.
func (d *decoder) decodeText(n *node, v reflect.Value) {
	if n.kind != scalar {
		d.rejectType(n, v.Type(), "")
		return
	}
	if v.Kind() == reflect.Map && typeOf(n) != word {
		d.rejectType(n, v.Type(), fmt.Sprintf("put it into quotes: %q", shorten(n.text)))
		return
	}
	value := reflect.New(v.Type())
	if err := value.Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(n.text)); err != nil {
		switch v := value.Interface().(type) {
		case *netip.Prefix: // its own words are for programmers
			d.reject(n, networkAdvice(n.text), "%q is not a network", shorten(n.text))
		case enumerator:
			d.reject(n, suggest(n.text, v.SchemaEnum()), "%s", err)
		default:
			d.reject(n, "", "%s", err)
		}
		return
	}
	v.Set(value.Elem())
}

func networkAdvice(text string) string {
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return fmt.Sprintf("write %s/%d for the one address", addr, addr.BitLen())
	}
	return "write it as 10.0.0.0/8 or fd00::/8"
}

func suggest(word string, words []string) string {
	if word, found := nearest(word, words); found {
		return fmt.Sprintf("did you mean %q?", word)
	}
	return "possible here: " + strings.Join(words, ", ")
}

// decodeOwnScalar decodes a value that implements ScalarUnmarshaler.
func (d *decoder) decodeOwnScalar(n *node, v reflect.Value) {
	var scalar any
	if d.decodeScalar(n, reflect.ValueOf(&scalar).Elem()); n.wrong {
		return
	}
	value := reflect.New(v.Type())
	if err := value.Interface().(ScalarUnmarshaler).UnmarshalScalar(scalar); err != nil {
		d.reject(n, "", "%s", err)
		return
	}
	v.Set(value.Elem())
}

// decodeScalar decodes strings, numbers and booleans, also into an any.
func (d *decoder) decodeScalar(n *node, v reflect.Value) {
	typ := typeOf(n)
	switch kind := v.Kind(); {
	case n.kind != scalar:
		d.rejectType(n, v.Type(), "")
	case kind == reflect.Interface && v.NumMethod() == 0:
		d.decodeAny(n, typ, v)
	case kind == reflect.String:
		d.decodeString(n, typ, v)
	case kind == reflect.Bool:
		if typ != boolean {
			d.rejectType(n, v.Type(), "write true or false, without quotes")
			return
		}
		v.SetBool(n.text[0] == 't' || n.text[0] == 'T')
	case v.CanInt():
		i, err := parseInt(n.text)
		if typ != integer || err != nil {
			d.rejectNumber(n, typ, v.Type())
			return
		}
		v.SetInt(i)
	case v.CanFloat():
		f, err := parseFloat(n.text)
		if typ != integer && typ != float || err != nil {
			d.rejectNumber(n, typ, v.Type())
			return
		}
		v.SetFloat(f)
	default:
		panic(fmt.Sprintf("strictyaml: cannot decode %s", v.Type()))
	}
}

func (d *decoder) decodeString(n *node, typ scalarType, v reflect.Value) {
	if typ != word {
		d.rejectType(n, v.Type(), fmt.Sprintf("put it into quotes: %q", shorten(n.text)))
		return
	}
	if enum, is := reflect.New(v.Type()).Interface().(enumerator); is {
		if words := enum.SchemaEnum(); !slices.Contains(words, n.text) {
			d.reject(n, suggest(n.text, words), "%q is not possible here", shorten(n.text))
			return
		}
	}
	v.SetString(n.text)
}

// decodeAny decodes what a scalar means by itself.
func (d *decoder) decodeAny(n *node, typ scalarType, v reflect.Value) {
	t := map[scalarType]reflect.Type{
		word: reflect.TypeFor[string](), boolean: reflect.TypeFor[bool](), integer: reflect.TypeFor[int64](), float: reflect.TypeFor[float64](),
	}[typ]
	value := reflect.New(t).Elem()
	if d.decodeScalar(n, value); !n.wrong {
		v.Set(value)
	}
}

func (d *decoder) decodeTime(n *node, v reflect.Value) {
	t, err := zonedtime.Parse(n.text)
	// RFC 3339 ends with the year 9999, in whatever zone the moment is told.
	if n.kind == scalar && err == nil && t.UTC().Year() <= 9999 {
		v.Set(reflect.ValueOf(t))
		if strings.Contains(n.text, "[") {
			d.zoned = append(d.zoned, zoned{n.at, t})
		}
		return
	}
	const example = "2026-12-01T00:00:00Z"
	if n.kind == scalar {
		for _, layout := range []string{"2006-01-02", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02T15:04:05", "2006-01-02 15:04:05"} {
			if t, err := time.Parse(layout, n.text); err == nil {
				d.reject(n, "add Z or an offset, as in "+t.Format(time.RFC3339), "%q has no zone", n.text)
				return
			}
		}
		if typeOf(n) == word {
			d.reject(n, "write date, time and zone (RFC 3339), as in "+example, "%q is not a moment in time", shorten(n.text))
			return
		}
	}
	d.rejectType(n, v.Type(), "write date, time and zone (RFC 3339), as in "+example)
}

func (d *decoder) decodeDuration(n *node, v reflect.Value) {
	const advice = "write numbers with their units (h, m, s, ms), as in 30s or 1h30m"
	if n.kind != scalar {
		d.rejectType(n, v.Type(), advice)
		return
	}
	switch typeOf(n) {
	case word:
		duration, err := time.ParseDuration(n.text)
		if err != nil {
			d.reject(n, advice, "%q is not a duration", shorten(n.text))
			return
		}
		v.SetInt(int64(duration))
	case integer, float:
		d.reject(n, fmt.Sprintf("add a unit, as in %ss", shorten(n.text)), "a duration without a unit")
	default:
		d.rejectType(n, v.Type(), advice)
	}
}

// rejectType reports that the node is of another type than the wanted one.
func (d *decoder) rejectType(n *node, t reflect.Type, advice string) {
	d.reject(n, advice, "want %s, found %s", describeType(t), describeNode(n))
}

// rejectNumber reports a number that doesn't fit, or is none.
func (d *decoder) rejectNumber(n *node, typ scalarType, t reflect.Type) {
	advice := ""
	switch plain := strings.ReplaceAll(n.text, "_", ""); {
	case typ == word && !n.plain && isNumber(n.text):
		advice = "remove the quotes"
	case typ == word && plain != n.text && isNumber(plain):
		advice = "write " + plain
	case strings.HasPrefix(n.text, "0") && typ == integer && octalLooking.MatchString(n.text):
		advice = "write it without the zero in front: it could be read as octal"
	case typ == integer && len(n.text) > 18:
		advice = "it does not fit into 64 bits"
	}
	d.rejectType(n, t, advice)
}

// describeType names a type as a message does.
func describeType(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return describeType(t.Elem())
	case t == timeType:
		return "a moment in time"
	case t == durationType:
		return "a duration"
	case takesScalar(t) && takesMapping(t):
		return "a string, a number, true, false or a mapping"
	case takesScalar(t):
		return "a string, a number, true or false"
	case takesText(t) && t.Kind() == reflect.Map:
		return "a string or a mapping"
	case takesText(t) && takesMapping(t):
		return "a word or a mapping"
	case takesText(t):
		return "a word"
	}
	switch t.Kind() {
	case reflect.Struct, reflect.Map:
		return "a mapping"
	case reflect.Slice:
		return "a list"
	case reflect.String:
		return "a string"
	case reflect.Bool:
		return "true or false"
	case reflect.Interface:
		return "a string, a number, true or false"
	case reflect.Float64:
		return "a number"
	case reflect.Int, reflect.Int64:
		return "a whole number"
	}
	panic(fmt.Sprintf("strictyaml: cannot decode %s", t))
}

// describeNode names a node as a message does.
func describeNode(n *node) string {
	switch n.kind {
	case mapping:
		return "a mapping"
	case list:
		return "a list"
	}
	switch typeOf(n) {
	case null:
		return "nothing (null)"
	case boolean:
		return n.text
	case integer, float:
		return "the number " + shorten(n.text)
	}
	return fmt.Sprintf("the string %q", shorten(n.text))
}

// A scalarType is what a scalar stands for by YAML's core schema (1.2.2, 10.3):
// no, NO, yes and on are words.
type scalarType uint8

const (
	word scalarType = iota
	null
	boolean
	integer
	float
)

var (
	integers     = regexp.MustCompile(`^([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)$`)
	floats       = regexp.MustCompile(`^([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$`)
	octalLooking = regexp.MustCompile(`^[-+]?0[0-9]`)
)

func typeOf(n *node) scalarType {
	if n.kind != scalar || !n.plain {
		return word
	}
	switch n.text {
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return boolean
	}
	switch {
	case n.isNull():
		return null
	case strings.IndexByte("+-.0123456789", n.text[0]) < 0:
		return word
	case integers.MatchString(n.text):
		return integer
	case floats.MatchString(n.text):
		return float
	}
	return word
}

func isNumber(text string) bool { return integers.MatchString(text) || floats.MatchString(text) }

// parseInt parses a core schema integer. It refuses what other parsers read
// as octal: 010.
func parseInt(text string) (int64, error) {
	switch {
	case strings.HasPrefix(text, "0x"):
		return strconv.ParseInt(text[2:], 16, 64)
	case strings.HasPrefix(text, "0o"):
		return strconv.ParseInt(text[2:], 8, 64)
	case octalLooking.MatchString(text):
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(text, 10, 64)
}

// parseFloat parses a finite number.
func parseFloat(text string) (float64, error) {
	if integers.MatchString(text) {
		i, err := parseInt(text)
		return float64(i), err
	}
	f, err := strconv.ParseFloat(text, 64)
	if err == nil && (math.IsNaN(f) || math.IsInf(f, 0)) {
		err = strconv.ErrRange
	}
	return f, err
}
