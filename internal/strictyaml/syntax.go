package strictyaml

import (
	"errors"
	"io"
	"regexp"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// This file asks the YAML library for the document's tree, and says in our own
// words what it could not read.

// The library takes NEL, LS and PS for line ends, as YAML 1.1 did; YAML 1.2 and
// the source's line numbers don't. It refuses the surrogate pairs of JSON. So it
// is given stand-ins of as many characters, which no text has (noncharacters).
const noCharacter = "\ufdd3"

var (
	standIns   = strings.NewReplacer("\u0085", "\ufdd0", "\u2028", "\ufdd1", "\u2029", "\ufdd2")
	originals  = strings.NewReplacer("\ufdd0", "\u0085", "\ufdd1", "\u2028", "\ufdd2", "\u2029", noCharacter, "")
	directive  = regexp.MustCompile(`^([ \t]*(#.*)?\n)*%`)
	surrogates = regexp.MustCompile(`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
)

// parse returns the one document as the library reads it, or reports why there
// is none.
func (r *reader) parse() *yaml.Node {
	text := r.source.text
	if found := directive.FindString(text); found != "" {
		r.report(len(found)-1, "remove the line", "a directive, which is refused")
		return nil
	}
	text = standIns.Replace(text)
	tree, err := load(text)
	if err != nil && surrogates.MatchString(text) {
		text = surrogates.ReplaceAllStringFunc(text, func(pair string) string {
			high, _ := strconv.ParseUint(pair[2:6], 16, 16)
			low, _ := strconv.ParseUint(pair[8:12], 16, 16)
			return string(utf16.DecodeRune(rune(high), rune(low))) + strings.Repeat(noCharacter, len(pair)-1)
		})
		tree, err = load(text)
	}
	if text != r.source.text {
		r.restore = originals
	}
	switch syntax := (*yaml.LoadError)(nil); {
	case err == io.EOF, err == nil && tree.Kind == yaml.ScalarNode && tree.Style == 0 && tree.Value == "":
		r.report(-1, "write at least one key and value", "the file is empty")
	case errors.As(err, &syntax):
		r.reportSyntax(syntax)
	case err != nil:
		r.report(-1, "check it with a YAML editor", "the file can't be read as YAML")
	default:
		return tree
	}
	return nil
}

// load returns the one document in the text.
func load(text string) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(strings.NewReader(text), yaml.WithPlugin(limits{}))
	if err != nil {
		return nil, err
	}
	var document, second yaml.Node
	if err := loader.Load(&document); err != nil {
		return nil, err
	}
	if err := loader.Load(&second); err == nil {
		return nil, &yaml.LoadError{Mark: yaml.Mark{Line: second.Line, Column: second.Column}, Message: secondDocument}
	} else if err != io.EOF {
		return nil, err
	}
	return document.Content[0], nil
}

// limits keeps the library from recursing without end, in brackets and in lines;
// the reader counts both together.
type limits struct{}

func (limits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return errors.New(tooDeep.message)
	}
	return nil
}

func (limits) CheckAlias(int, int) error { return nil }

// A mistake is a message and advice. In the message, "%q" stands for the
// character that is there.
type mistake struct{ message, advice string }

const secondDocument = "a second document in the file"

var (
	tooDeep     = mistake{"more than " + strconv.Itoa(maxDepth) + " levels of lists and mappings in each other", "nest less"}
	emptyEscape = mistake{"an escape that stands for no text", `write the character itself, or remove it; a backslash is \\, or stands in single quotes`}
	tabIndents  = mistake{"a tab that indents a line", "indent with spaces"}
	noSpace     = mistake{"a colon without a space after it", `write "key: value", with a space`}
	strayLine   = mistake{"this line belongs to nothing above it", "indent the lines of a mapping or list alike"}
	strayText   = mistake{"text after the value has ended", "begin a new line, or put the whole value into quotes (a quote above may never have been closed)"}
)

// syntaxMistakes are the errors of the library, known by words of theirs; the
// first that fits. bad.golden shows when a version of it words them otherwise.
var syntaxMistakes = []struct {
	words string
	begin bool // it is reported where the value begins
	mistake
}{
	{words: tooDeep.message, mistake: tooDeep},
	{words: secondDocument, mistake: mistake{secondDocument, "write one document a file, without further --- or ... lines"}},
	{words: "tab character", mistake: tabIndents},
	{words: "comment without", mistake: mistake{"a # right after a value", "write a space before the comment, or put the text into quotes"}},
	{words: "unknown anchor", mistake: mistake{"an alias, which is refused", "write the value out, or put text that begins with * into quotes"}},
	{words: "tag", mistake: mistake{"a tag, which is refused", "remove it; put the value into quotes if it is a string"}},
	{words: "scanning an a", begin: true, mistake: mistake{"text that begins with %q", "put it into quotes"}}, // alias, anchor
	{words: "unknown escape", mistake: mistake{"an escape that YAML doesn't have", `write a backslash as \\, or use single quotes`}},
	{words: "hexadecimal", mistake: mistake{"an escape without its hexadecimal digits", `two digits follow \x, four \u, eight \U`}},
	{words: "Unicode character", mistake: emptyEscape},
	{words: "quoted scalar", begin: true, mistake: mistake{"this quote is never closed", "end it with another one"}},
	{words: "block scalar", begin: true, mistake: mistake{"text after %q", "begin the text in the next line, or put it into quotes"}},
	{words: "cannot start any token", mistake: mistake{"text that begins with %q", "put it into quotes"}},
	{words: "mapping values are not", mistake: mistake{"no key and colon can be here", "put a value with a colon into quotes, or indent this line as the one that it belongs with"}},
	{words: "block sequence entries", mistake: mistake{"no list can begin here", "begin a new line, or write [a, b]"}},
	{words: "expected ':'", begin: true, mistake: mistake{"this line has no key", `a key ends with a colon and a space: "key: value"`}},
	{words: "flow", mistake: mistake{"%q is not possible here in brackets", `write a comma between entries, and text with brackets or braces in quotes: "/{name}"`}},
}

// reportSyntax reports what the library stumbled over, in our words. An error
// that isn't known is reported at its place all the same.
func (r *reader) reportSyntax(e *yaml.LoadError) {
	text := r.source.text
	at, begin := r.offset(e.Mark.Line, e.Mark.Column), r.offset(e.ContextMark.Line, e.ContextMark.Column)
	start := strings.LastIndexByte(text[:at], '\n') + 1
	m := strayText
	if strings.Trim(text[start:at], " ") == "" {
		m = strayLine
	}
	words := e.ContextMsg + ": " + e.Message
	for _, known := range syntaxMistakes {
		if !strings.Contains(words, known.words) {
			continue
		}
		m = known.mistake
		line := begin // that may lack a space
		switch {
		case known.words == "flow" && at == len(text):
			at = max(0, strings.LastIndexAny(text, "[{")) // the library may not know it
			m = mistake{"%q is never closed", "end a list with ], a mapping with }"}
		case known.words == "flow" && text[at] == ':' && begin < start:
			at, m = begin, mistake{"%q is not closed before the next key", "end a list with ], a mapping with }"}
		case known.words == "flow" && at > start && text[at-1] == ':':
			at, m = at-1, noSpace
		case known.words == "mapping values are not":
			if key := strings.TrimLeft(text[start:at], " "); !strings.Contains(key, ": ") {
				at -= len(key)
			}
			line = len(strings.TrimRight(text[:start], " \n")) // the one above
			fallthrough
		case known.words == "expected ':'":
			if colon := missingSpace(text, line); colon >= 0 {
				at, m = colon, noSpace
			} else if known.begin {
				at = begin
			}
		case known.begin:
			at = begin
		}
		break
	}
	if at < len(text) && text[at] == '\t' {
		m = tabIndents
	}
	there, _ := utf8.DecodeRuneInString(text[at:])
	r.report(at, m.advice, "%s", strings.Replace(m.message, "%q", strconv.Quote(string(there)), 1))
}

// missingSpace returns the offset of the colon in a line that was meant to be a
// key and a value, -1 if there is none.
func missingSpace(text string, at int) int {
	start := strings.LastIndexByte(text[:at], '\n') + 1
	line, _, _ := strings.Cut(text[start:], "\n")
	key, value, _ := strings.Cut(line, ":")
	if strings.Trim(value, " \t") == "" || isBlank(value[0]) || strings.HasPrefix(value, "//") || strings.ContainsAny(strings.TrimLeft(key, " "), " \t\"'#") {
		return -1
	}
	return start + len(key)
}

// shorten keeps what a message quotes short.
func shorten(text string) string {
	const most = 60
	if len(text) <= most {
		return text
	}
	if runes := []rune(text[:min(len(text), 4*most)]); len(runes) > most || len(text) > 4*most {
		return string(runes[:min(len(runes), most)]) + "…"
	}
	return text
}
