package request

import (
	"iter"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/exitgate/exitgate/policy"
)

// An app may read another request than the gateway does. These are the known
// ways, and what becomes of each:
//
//   - The target's path: policy/routes lists how paths are read, and finds the
//     class of each reading. Lower-case methods are read there, too.
//   - The method: fields and a parameter of the query override it in some
//     frameworks (overrides). A field in the body can, too (_method of a form):
//     that isn't seen here. An app for which it matters has to switch it off.
//   - The host: :authority that differs from a Host field is rejected. Of a target
//     in absolute form it is the one in the target, and the only one that is
//     forwarded (readFacts).
//   - The framing: net/http rejects what is malformed. It drops, unseen, a
//     Content-Length beside chunks, and in HTTP/1.0 Transfer-Encoding
//     (checkFraming).
//   - Who asks: package client rejects forwarding fields that conflict.
//
// A request gets what the strictest of its readings gets. It is rejected only
// where one of them would be refused and another one forwarded: then the app
// could serve what is refused, or somebody be refused what is served.

// decideByReadings decides on a request from a place.
func decideByReadings(s *policy.Snapshot, place policy.Place, f Facts) (*policy.Decision, policy.Readings, error) {
	readings := classify(s, f.Method, f)
	decision, inDoubt := s.DecideReadings(place, readings)
	if inDoubt {
		return nil, readings, AmbiguousPath
	}
	if !mayOverride(f) {
		return decision, readings, nil
	}
	if slices.ContainsFunc(methodOverrides[:], func(field string) bool { return len(f.Header[field]) > maxOverrides }) {
		return nil, readings, AmbiguousMethod // not all are read
	}
	readings = withOverrides(s, readings, f)
	if decision, inDoubt = s.DecideReadings(place, readings); inDoubt {
		return nil, readings, AmbiguousMethod
	}
	return decision, readings, nil
}

// withOverrides adds to the readings of a request those by other methods.
func withOverrides(s *policy.Snapshot, readings policy.Readings, f Facts) policy.Readings {
	for method := range overrides(f) {
		readings.AddAll(classify(s, method, f))
	}
	return readings
}

// classify returns how a request may be read with a method.
func classify(s *policy.Snapshot, method string, f Facts) policy.Readings {
	if f.Query != "" && f.Path != policy.StatusPath {
		return s.ClassifyOther(method, f.Host, f.Path)
	}
	return s.Classify(method, f.Host, f.Path)
}

// methodOverrides are the fields by which frameworks (Rails, Laravel, Express
// and others with a module for it) let a request name another method than its
// own. Other spellings of them, with underscores, aren't forwarded.
var methodOverrides = [...]string{"X-Http-Method-Override", "X-Http-Method", "X-Method-Override"}

// mayOverride reports whether a request may override its method.
func mayOverride(f Facts) bool {
	for _, field := range methodOverrides {
		if _, ok := f.Header[field]; ok {
			return true
		}
	}
	for parameter := range parameters(f.Query) {
		if isMethodParameter(parameter) {
			return true
		}
	}
	return false
}

// maxOverrides is how many lines a field may have, and how many methods are read of each, besides
// the last: no honest client has as many.
const maxOverrides = 16

// overrides returns the methods by which a request may override its own, in
// upper case. A field may be a list, of which some take the first and some the
// last.
func overrides(f Facts) iter.Seq[string] {
	return func(yield func(string) bool) {
		next := func(method string) bool { return yield(strings.ToUpper(strings.TrimSpace(method))) }
		for _, field := range methodOverrides {
			for _, line := range f.Header[field] {
				first, rest, isList := strings.Cut(line, ",")
				if !next(line) || !next(first) {
					return
				}
				for n := 0; isList && n < maxOverrides; n++ {
					var method string
					if method, rest, isList = strings.Cut(rest, ","); !next(method) {
						return
					}
				}
				if last := strings.LastIndexByte(line, ','); last >= 0 && !next(line[last+1:]) {
					return
				}
			}
		}
		for parameter := range parameters(f.Query) {
			if !isMethodParameter(parameter) {
				continue
			}
			_, value, _ := strings.Cut(parameter, "=")
			if value, err := url.QueryUnescape(value); err == nil && !next(value) {
				return
			}
		}
	}
}

// parameters returns the parameters of a query, as they are written there.
func parameters(query string) iter.Seq[string] {
	return func(yield func(string) bool) {
		for query != "" {
			parameter := query
			if end := strings.IndexAny(query, "&;"); end >= 0 {
				parameter, query = query[:end], query[end+1:]
			} else {
				query = ""
			}
			if !yield(parameter) {
				return
			}
		}
	}
}

// isMethodParameter reports whether a parameter of a query overrides a method:
// _method in Symfony and Laravel, as PHP reads it, which drops spaces before a name,
// takes some characters for "_", and ends it at a NUL (Rails reads it in forms only);
// X-HTTP-Method-Override in ASP.NET MVC, in any letter case.
func isMethodParameter(parameter string) bool {
	if len(parameter) < len("_method") {
		return false
	}
	name, _, _ := strings.Cut(parameter, "=")
	name, err := url.QueryUnescape(name)
	if err != nil {
		return false
	}
	name, _, _ = strings.Cut(strings.TrimLeft(name, " "), "\x00")
	return strings.EqualFold(name, methodOverrides[0]) || len(name) == len("_method") && strings.IndexByte("_.[", name[0]) >= 0 && name[1:] == "method"
}

// checkFraming rejects what may have another body than is seen here, and lets a
// request be the last of its connection where someone in front may take its end
// to be elsewhere (RFC 9112 sections 6.1 and 11.2): what follows could be another
// request than we would read.
//
// net/http drops a Content-Length beside chunks, and Transfer-Encoding in
// HTTP/1.0, unseen: there, a request without Content-Length could have had it.
// Honest ones have a length, be it 0, but for methods whose content has no
// meaning (RFC 9110 section 8.6): nginx sends those without one.
func checkFraming(w http.ResponseWriter, r *http.Request) error {
	if r.ProtoMajor != 1 {
		return nil
	}
	if r.ProtoMinor == 0 || len(r.TransferEncoding) > 0 {
		w.Header().Set("Connection", "close")
	}
	if r.ProtoMinor == 0 && len(r.Header["Content-Length"]) == 0 {
		switch r.Method {
		case http.MethodGet, http.MethodHead, http.MethodDelete, http.MethodOptions:
		default:
			return AmbiguousFraming
		}
	}
	return nil
}
