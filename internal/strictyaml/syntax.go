package strictyaml

import (
	"errors"
	"fmt"
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
const (
	nelStandIn  = "\ufdd0"
	lsStandIn   = "\ufdd1"
	psStandIn   = "\ufdd2"
	noCharacter = "\ufdd3"
)

var (
	standIns   = strings.NewReplacer("\u0085", nelStandIn, "\u2028", lsStandIn, "\u2029", psStandIn)
	originals  = strings.NewReplacer(nelStandIn, "\u0085", lsStandIn, "\u2028", psStandIn, "\u2029", noCharacter, "")
	surrogates = regexp.MustCompile(`\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}`)
)

// parse returns the tree of the one document, which has content.
func (r *reader) parse() *yaml.Node {
	text := standIns.Replace(r.src)
	tree, err := load(text)
	if err != nil && surrogates.MatchString(text) {
		text = surrogates.ReplaceAllStringFunc(text, func(pair string) string {
			high, _ := strconv.ParseUint(pair[2:6], 16, 16)
			low, _ := strconv.ParseUint(pair[8:12], 16, 16)
			return string(utf16.DecodeRune(rune(high), rune(low))) + strings.Repeat(noCharacter, len(pair)-1)
		})
		tree, err = load(text)
	}
	if err != nil {
		r.failSyntax(err)
	}
	if text != r.src {
		r.restore = originals
	}
	return tree
}

// load returns the tree of the first document in the text.
func load(text string) (*yaml.Node, error) {
	loader, err := yaml.NewLoader(strings.NewReader(text), yaml.WithPlugin(limits{}, noAliases{}))
	if err != nil {
		return nil, err
	}
	var document yaml.Node
	if err := loader.Load(&document); err != nil {
		return nil, err
	}
	return document.Content[0], nil
}

// limits keeps the library from recursing without end. The reader counts the
// levels of brackets and lines together.
type limits struct{}

func (limits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return errors.New(tooDeep.message)
	}
	return nil
}

func (limits) CheckAlias(int, int) error { return nil }

// noAliases lets every alias stand for nothing: the reader refuses them all,
// also those without an anchor.
type noAliases struct{}

func (noAliases) NewAliasDataContext(yaml.AliasDataServices) (yaml.AliasDataContext, error) {
	return noAliases{}, nil
}
func (noAliases) BeginDocument() error                  { return nil }
func (noAliases) DefineAnchor(string, *yaml.Node) error { return nil }
func (noAliases) EndDocument() error                    { return nil }
func (noAliases) ResolveAlias(string) (*yaml.Node, bool, error) {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!null"}, true, nil
}

// A mistake is a message and advice, which are the same wherever it is made. In
// the message, "%q" stands for the character that is there.
type mistake struct{ message, advice string }

var (
	tabIndents     = mistake{"a tab that indents a line", "indent with spaces"}
	secondDocument = mistake{"a second document in the file", "write one document a file, without further --- or ... lines"}
	directive      = mistake{"a directive, which is refused", "remove the line"}
	complexKey     = mistake{`"?" begins a key of several lines, which is refused`, "write the key as a word: key: value"}
	trailingText   = mistake{"text after the value has ended", "begin a new line, or put the whole value into quotes (a quote above may never have been closed)"}
	strayLine      = mistake{"this line belongs to nothing above it", "indent the lines of a mapping or list alike"}
	emptyEscape    = mistake{"an escape that stands for no text", `write the character itself, or remove it; a backslash is \\, or stands in single quotes`}
	tooDeep        = mistake{"more than " + strconv.Itoa(maxDepth) + " levels of lists and mappings in each other", "nest less"}
	unexpected     = mistake{"unexpected %q", "put text with special characters into quotes"}
)

// syntaxMistakes are the errors of the library, known by words of theirs; the
// first that fits. bad.golden shows when a version of it words them otherwise.
var syntaxMistakes = []struct {
	words string
	begin bool // it is reported where the value begins
	mistake
}{
	{words: tooDeep.message, mistake: tooDeep},
	{words: "tab character", mistake: tabIndents},
	{words: "comment without", mistake: mistake{"a # right after a value", "write a space before the comment, or put the text into quotes"}},
	{words: "document-end marker", mistake: mistake{"text after ...", "begin a new line after it"}},
	{words: "directive", mistake: directive},
	{words: "incompatible YAML", mistake: directive},
	{words: "tag", mistake: mistake{"a tag, which is refused", "remove it; put the value into quotes if it is a string"}},
	{words: "scanning an a", begin: true, mistake: mistake{"text that begins with %q", "put it into quotes"}}, // alias, anchor
	{words: "unknown escape", mistake: mistake{"an escape that YAML doesn't have", `write a backslash as \\, or use single quotes`}},
	{words: "hexadecimal", mistake: mistake{"an escape without its hexadecimal digits", `two digits follow \x, four \u, eight \U`}},
	{words: "Unicode character", mistake: emptyEscape},
	{words: "quoted scalar", begin: true, mistake: mistake{"this quote is never closed", "end it with another one"}},
	{words: "block scalar", begin: true, mistake: mistake{"text after %q", "begin the text in the next line, or put it into quotes"}},
	{words: "cannot start any token", mistake: mistake{"text that begins with %q", "put it into quotes"}},
	{words: "mapping keys are not", mistake: complexKey},
	{words: "block sequence entries", mistake: mistake{"a list begins in the line of its key", "begin a new line, or write [a, b]"}},
}

func (r *reader) fail(at int, advice, format string, args ...any) {
	panic(syntaxError{at, fmt.Sprintf(format, args...), advice})
}

func (r *reader) failWith(at int, m mistake) {
	there, _ := utf8.DecodeRuneInString(r.src[min(max(at, 0), len(r.src)):])
	panic(syntaxError{at, strings.Replace(m.message, "%q", strconv.Quote(string(there)), 1), m.advice})
}

// failSyntax reports what the library stumbled over, in our words. An error
// that isn't known is reported at its place all the same.
func (r *reader) failSyntax(err error) {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		r.fail(-1, "check it with a YAML editor", "the file can't be read as YAML")
	}
	at, begin := r.offset(e.Mark), r.offset(e.ContextMark)
	if at < len(r.src) && r.src[at] == '\t' {
		r.failWith(at, tabIndents)
	}
	words := e.ContextMsg + ": " + e.Message
	for _, known := range syntaxMistakes {
		if strings.Contains(words, known.words) {
			if known.begin {
				at = begin
			}
			r.failWith(at, known.mistake)
		}
	}
	start := strings.LastIndexByte(r.src[:at], '\n') + 1
	first := at - len(strings.TrimLeft(r.src[start:at], " ")) // in its line
	has := func(what string) bool { return strings.Contains(words, what) }
	switch {
	case has("mapping values are not allowed"):
		if strings.Contains(r.src[first:at], ": ") {
			r.fail(at, "put the value into quotes, or begin a new line for the key", "a second colon in the line")
		}
		above := strings.TrimRight(r.src[:start], " \n")
		r.checkColon(strings.LastIndexByte(above, '\n') + 1)
		r.fail(first, "indent it as the line of the value, or remove the value", "this line is below a value, and is no part of it")
	case has("expected ':'"):
		r.checkColon(begin)
		r.fail(begin, `a key ends with a colon and a space: "key: value"`, "this line has no key")
	case first < at && (has("expected key") || has("'-' indicator") || has("<document start>")):
		r.failWith(at, trailingText)
	case has("<document start>"):
		r.failWith(at, strayLine)
	case has("'-' indicator"):
		r.fail(at, `begin it with "- ", or indent it as the line that it belongs to`, "this line is no item of the list above it")
	case has("expected key") && strings.HasPrefix(r.src[at:], "- "):
		r.fail(at, "indent it below the key that the list belongs to", "a list item among keys")
	case has("expected key"):
		r.fail(at, "indent it as a line above that it belongs with", "no line above is indented by %d as this one is", at-start)
	case has("flow"):
		r.failBrackets(at, begin)
	}
	r.failWith(at, unexpected)
}

// failBrackets reports what is in brackets that begin at an offset, or that they
// aren't closed.
func (r *reader) failBrackets(at, begin int) {
	if at == len(r.src) { // of the brackets that aren't closed the library may not know the begin
		begin = max(0, strings.LastIndexAny(r.src, "[{"))
	}
	what, bracket := "list", "]"
	if begin < len(r.src) && r.src[begin] == '{' {
		what, bracket = "mapping", "}"
	}
	switch {
	case at == len(r.src):
		r.fail(begin, fmt.Sprintf("end it with %q", bracket), "this %s is never closed", what)
	case begin == at:
		r.failWith(at, mistake{"unexpected %q", "write a value before it, or remove it"})
	case r.src[at] == ':' && r.source.line(at) > r.source.line(begin):
		r.fail(begin, fmt.Sprintf("end it with %q, or indent its further lines more than its key", bracket),
			"this %s is not closed before the next key", what)
	case (r.src[at] == '{' || r.src[at] == '[') && r.src[at-1] == ':':
		r.fail(at-1, "write a space after it", "a colon without a space after it")
	case r.src[at] == '{' || r.src[at] == '[':
		r.fail(at, `put text with brackets or braces into quotes: "/{name}"`, `want "," or %q here`, bracket)
	}
	r.fail(at, fmt.Sprintf(`write "," before the next entry, or %q at the end of the %s that begins in line %d`, bracket, what, r.source.line(begin)),
		`want "," or %q here`, bracket)
}

// checkColon refuses a line that was meant to be a key and a value.
func (r *reader) checkColon(at int) {
	line := r.src[at:r.lineEnd(at)]
	key, value, found := strings.Cut(strings.TrimLeft(line, " "), ":")
	if found && value != "" && !isBlank(value[0]) && !strings.HasPrefix(value, "//") && !strings.ContainsAny(key, " \t\"'#") {
		r.fail(at+len(line)-len(value)-1, fmt.Sprintf(`write "%s: %s"`, shorten(key), shorten(value)), "a colon without a space after it")
	}
}

// offset returns where in the source the library's line and column are.
func (r *reader) offset(mark yaml.Mark) int {
	lines := r.source.lines
	if mark.Line < 1 || mark.Line > len(lines) {
		return len(r.src)
	}
	at := lines[mark.Line-1]
	for range mark.Column - 1 {
		if at == len(r.src) || r.src[at] == '\n' {
			break
		}
		_, size := utf8.DecodeRuneInString(r.src[at:])
		at += size
	}
	return at
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
