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

const tooDeep = "too deep"

func (limits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return errors.New(tooDeep)
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

func (r *reader) fail(at int, advice, format string, args ...any) {
	panic(syntaxError{at, fmt.Sprintf(format, args...), advice})
}

func (r *reader) failTab(at int) {
	r.fail(at, "indent with spaces", "a tab that indents a line")
}

func (r *reader) failQuestion() {
	r.fail(r.pos, "write the key as a word: key: value", `"?" begins a key of several lines, which is refused`)
}

func (r *reader) failTrailing(at int) {
	advice := "begin a new line, or put the whole value into quotes"
	if before := strings.TrimRight(r.src[:at], " "); before != "" && isQuote(before[len(before)-1]) {
		advice += "; or a quote above was never closed, and this one closes it"
	}
	r.fail(at, advice, "text after the value has ended")
}

func (r *reader) failOutside(at int) {
	r.fail(at, "indent the lines of a mapping or list alike", "this line belongs to nothing above it")
}

func (r *reader) failSecond() {
	r.fail(r.pos, "write one document a file, without further --- or ... lines", "a second document in the file")
}

// failUnexpected refuses what stands where the library's tree has nothing.
func (r *reader) failUnexpected(at int) {
	r.fail(at, "put text with special characters into quotes", "unexpected %q", r.wordAt(at))
}

// failSyntax says what the library stumbled over. Its errors are known by their
// text; one that isn't known is reported at its place all the same.
func (r *reader) failSyntax(err error) {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		r.fail(-1, "check it with a YAML editor", "the file can't be read as YAML")
	}
	at, begin := r.offset(e.Mark), r.offset(e.ContextMark)
	first := r.firstOfLine(at)
	has := func(words string) bool { return strings.Contains(e.Message, words) }
	in := func(words string) bool { return strings.Contains(e.ContextMsg, words) }
	switch {
	case has(tooDeep):
		r.fail(at, "nest less", "more than %d levels of lists and mappings in each other", maxDepth)
	case has("tab") || at < len(r.src) && r.src[at] == '\t':
		r.failTab(at)
	case has("comment without"):
		r.fail(at, "write a space before the comment, or put the text into quotes", "a # right after a value")
	case has("document-end marker"):
		r.fail(at, "begin a new line after it", "text after ...")
	case in("directive") || has("directive") || has("incompatible YAML"):
		r.fail(at, "remove the line", "a directive, which is refused")
	case in("tag") || has("tag") || e.Stage == yaml.ResolverStage:
		r.fail(at, "remove it; put the value into quotes if it is a string", "a tag, which is refused")
	case in("anchor"), in("alias"):
		r.fail(begin, "put the text into quotes", "text that begins with %q", r.wordAt(begin)[:1])
	case in("quoted scalar"):
		r.failQuote(e, at, begin)
	case in("block scalar"):
		r.fail(begin, "begin the text in the next line, or put it into quotes", "text after %q", r.wordAt(begin)[:1])
	case has("cannot start any token"):
		r.fail(at, "put it into quotes", "text that begins with %q", r.wordAt(at)[:1])
	case has("mapping keys are not allowed"):
		r.pos = at
		r.failQuestion()
	case has("block sequence entries are not allowed"):
		r.fail(at, "begin a new line, or write [a, b]", "a list begins in the line of its key")
	case has("mapping values are not allowed"):
		r.failColon(at, first)
	case has("could not find expected ':'"):
		r.checkColon(begin)
		r.fail(begin, `a key ends with a colon and a space: "key: value"`, "this line has no key")
	case has("did not find expected key"), has("did not find expected '-' indicator"), has("<document start>"):
		switch {
		case first < at:
			r.failTrailing(at)
		case has("'-'"):
			r.fail(at, `begin it with "- ", or indent it as the line that it belongs to`, "this line is no item of the list above it")
		case has("<document start>"):
			r.failOutside(at)
		case strings.HasPrefix(r.src[at:], "- "):
			r.fail(at, "indent it below the key that the list belongs to", "a list item among keys")
		}
		r.fail(at, "indent it as a line above that it belongs with", "no line above is indented by %d as this one is", at-r.lineStart(at))
	case has("node content"):
		r.failNode(at)
	case in("flow sequence"):
		r.failBrackets(at, begin, "list", "]")
	case in("flow mapping"):
		r.failBrackets(at, begin, "mapping", "}")
	}
	r.failUnexpected(at)
}

// failQuote refuses a quoted scalar.
func (r *reader) failQuote(e *yaml.LoadError, at, begin int) {
	switch {
	case strings.Contains(e.Message, "unknown escape"):
		r.fail(at, `write a backslash as \\, or use single quotes`, "the escape %s is not possible", shorten(r.src[at:min(at+2, len(r.src))]))
	case strings.Contains(e.Message, "hexadecimal"):
		r.fail(at-2, `two digits follow \x, four \u, eight \U`, "an escape without its hexadecimal digits")
	case strings.Contains(e.Message, "Unicode"):
		r.fail(at-2, "write the character itself, or remove it", "an escape that stands for no text")
	}
	r.fail(begin, "end it with "+r.src[begin:begin+1], "this quote is never closed")
}

// failColon refuses a colon where no key can be.
func (r *reader) failColon(at, first int) {
	if strings.Contains(r.src[first:at], ": ") {
		r.fail(at, "put the value into quotes, or begin a new line for the key", "a second colon in the line")
	}
	if above := strings.TrimRight(r.src[:r.lineStart(at)], " \n"); above != "" {
		r.checkColon(r.firstOfLine(len(above)))
	}
	r.fail(first, "indent it as the line of the value, or remove the value", "this line is below a value, and is no part of it")
}

// failNode refuses what stands where a value should be, in brackets.
func (r *reader) failNode(at int) {
	if word := r.wordAt(at); word != "" {
		r.fail(at, "write a value before it, or remove it", "unexpected %q", word[:1])
	}
	if open := strings.LastIndexAny(r.src, "[{"); open >= 0 {
		r.fail(open, "end it with a closing bracket", "this bracket is never closed")
	}
}

// failBrackets refuses what is in brackets, or behind them.
func (r *reader) failBrackets(at, begin int, what, bracket string) {
	switch word := r.wordAt(at); {
	case word == "":
		r.fail(begin, fmt.Sprintf("end it with %q", bracket), "this %s is never closed", what)
	case word[0] == ':' && r.source.line(at) > r.source.line(begin):
		r.fail(begin, fmt.Sprintf("end it with %q, or indent its further lines more than its key", bracket),
			"this %s is not closed before the next key", what)
	case (word[0] == '{' || word[0] == '[') && r.src[at-1] == ':':
		r.fail(at-1, "write a space after it", "a colon without a space after it")
	case word[0] == '{', word[0] == '[':
		r.fail(at, `put text with brackets or braces into quotes: "/{name}"`, `want "," or %q here`, bracket)
	}
	r.fail(at, fmt.Sprintf(`write "," before the next entry, or %q at the end of the %s that begins in line %d`, bracket, what, r.source.line(begin)),
		`want "," or %q here`, bracket)
}

// checkColon refuses a line that was meant to be a key and a value.
func (r *reader) checkColon(at int) {
	line := r.src[at:r.lineEnd(at)]
	if key, value, found := strings.Cut(line, ":"); found && value != "" && !isBlank(value[0]) && !strings.HasPrefix(value, "//") && !strings.ContainsAny(key, " \t\"'#") {
		r.fail(at+len(key), fmt.Sprintf(`write "%s: %s"`, shorten(key), shorten(value)), "a colon without a space after it")
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

// wordAt returns what is here up to the next white space, shortened: "" at the end.
func (r *reader) wordAt(at int) string {
	word := r.src[at:]
	if i := strings.IndexAny(word[:min(len(word), 400)], " \t\n"); i >= 0 {
		word = word[:max(i, 1)]
	}
	return shorten(word)
}

// lineStart returns the offset of the begin of the line that at is in.
func (r *reader) lineStart(at int) int { return strings.LastIndexByte(r.src[:at], '\n') + 1 }

// firstOfLine returns the offset of the first byte of a line that is no space.
func (r *reader) firstOfLine(at int) int {
	start := r.lineStart(at)
	return start + len(r.src[start:at]) - len(strings.TrimLeft(r.src[start:at], " "))
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
