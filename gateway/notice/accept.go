package notice

import "strings"

// A format is a representation of a notice. The order is that of the gateway's
// preference where a client has none: a person at a terminal reads text, and
// whoever wants a page or JSON says so.
type format uint8

const (
	asText format = iota
	asProblem
	asPage
	negotiable // how many formats Accept chooses from

	asGRPC    = negotiable
	asGRPCWeb = negotiable + 1
	formats   = negotiable + 2
)

// formatFor returns the format for a request. A gRPC client gets gRPC whatever
// it accepts. A client that accepts nothing of what there is gets text: a
// refusal has to be said, so there is no 406.
func formatFor(accept []string, contentType string) format {
	if f, ok := grpcFormat(contentType); ok {
		return f
	}
	return acceptedFormat(accept)
}

// grpcFormat reads a request's content type: application/grpc and
// application/grpc-web, each with its +proto, +json or other message format.
func grpcFormat(contentType string) (format, bool) {
	const prefix = "application/grpc"
	if len(contentType) < len(prefix) || !strings.EqualFold(contentType[:len(prefix)], prefix) {
		return 0, false
	}
	rest, f := contentType[len(prefix):], asGRPC
	if len(rest) >= 4 && strings.EqualFold(rest[:4], "-web") {
		rest, f = strings.TrimPrefix(rest[4:], "-text"), asGRPCWeb
	}
	return f, rest == "" || strings.ContainsRune("+; \t", rune(rest[0]))
}

// How closely a media range names a format. The closest range of a format
// decides on its quality (RFC 9110, section 12.5.1).
const (
	byWildcard = iota + 1 // */*
	byType                // text/*
	bySuffix              // application/vnd.api+json
	byRelative            // application/json
	byName                // application/problem+json
)

func acceptedFormat(accept []string) format {
	type claim struct {
		closeness, quality, position int
	}
	var claims [negotiable]claim
	position := 0
	eachWeighted(accept, func(mediaRange string, quality int) {
		position++
		for f := range negotiable {
			if c := closeness(f, mediaRange); c > claims[f].closeness {
				claims[f] = claim{c, quality, position}
			}
		}
	})

	// Of equal quality, what is named goes before what a wildcard covers, and
	// then what is named first: many clients list what they like and add */*.
	best := asText
	for f, c := range claims {
		b := claims[best]
		switch named, bestNamed := c.closeness >= bySuffix, b.closeness >= bySuffix; {
		case c.quality != b.quality:
			if c.quality > b.quality {
				best = format(f)
			}
		case named != bestNamed:
			if named {
				best = format(f)
			}
		case c.position < b.position:
			if c.quality > 0 {
				best = format(f)
			}
		}
	}
	return best
}

// closeness says how closely a media range names a format, 0 if not at all.
func closeness(f format, mediaRange string) int {
	if mediaRange == "*/*" {
		return byWildcard
	}
	kind, sub, ok := strings.Cut(mediaRange, "/")
	if !ok {
		return 0
	}
	name := [negotiable]struct{ kind, sub, relative string }{
		asText:    {kind: "text", sub: "plain"},
		asProblem: {kind: "application", sub: "problem+json", relative: "json"},
		asPage:    {kind: "text", sub: "html"},
	}[f]
	switch {
	case f == asPage && strings.EqualFold(mediaRange, "application/xhtml+xml"):
		return byRelative
	case !strings.EqualFold(kind, name.kind):
		return 0
	case strings.EqualFold(sub, name.sub):
		return byName
	case name.relative != "" && strings.EqualFold(sub, name.relative):
		return byRelative
	case f == asProblem && len(sub) > 5 && strings.EqualFold(sub[len(sub)-5:], "+json"):
		return bySuffix
	case sub == "*":
		return byType
	}
	return 0
}

// What is read of a list that a client sends; the rest is ignored.
const (
	maxListBytes = 1 << 10
	maxListItems = 32
)

// eachWeighted calls visit with each item of a field such as Accept or
// Accept-Language and with its quality in thousandths, 1000 if it has none
// (RFC 9110, section 12.4.2). Parameters other than q are dropped; an item
// whose quality makes no sense is left out. lines are the field's lines.
func eachWeighted(lines []string, visit func(item string, quality int)) {
	budget, items := maxListBytes, 0
	for _, line := range lines {
		for line != "" && items < maxListItems {
			if len(line) > budget {
				line = line[:budget]
				// What stands before the cut may be half an item.
				cut := strings.LastIndexByte(line, ',')
				if cut < 0 {
					return
				}
				line, budget = line[:cut], cut
			}
			end := itemEnd(line)
			item, quality, ok := weighted(line[:end])
			if ok {
				visit(item, quality)
				items++
			}
			next := min(end+1, len(line))
			budget -= next
			line = line[next:]
		}
	}
}

// itemEnd returns where the list's first item ends: at a comma outside quotes,
// or at the end.
func itemEnd(list string) int {
	quoted := false
	for i := 0; i < len(list); i++ {
		switch list[i] {
		case '"':
			quoted = !quoted
		case '\\':
			if quoted {
				i++
			}
		case ',':
			if !quoted {
				return i
			}
		}
	}
	return len(list)
}

func weighted(item string) (name string, quality int, ok bool) {
	name, parameters, _ := strings.Cut(item, ";")
	name = strings.Trim(name, " \t")
	if name == "" {
		return "", 0, false
	}
	for parameters != "" {
		var parameter string
		parameter, parameters, _ = strings.Cut(parameters, ";")
		parameter = strings.Trim(parameter, " \t")
		if len(parameter) >= 2 && (parameter[0] == 'q' || parameter[0] == 'Q') && parameter[1] == '=' {
			quality, ok := thousandths(parameter[2:])
			return name, quality, ok
		}
	}
	return name, 1000, true
}

// thousandths reads a qvalue: 0 to 1 with at most three decimals.
func thousandths(qvalue string) (int, bool) {
	whole, decimals, _ := strings.Cut(qvalue, ".")
	if whole != "0" && whole != "1" || len(decimals) > 3 {
		return 0, false
	}
	n := int(whole[0] - '0')
	for i := range 3 {
		n *= 10
		if i < len(decimals) {
			if decimals[i] < '0' || decimals[i] > '9' {
				return 0, false
			}
			n += int(decimals[i] - '0')
		}
	}
	return n, n <= 1000
}
