package proxy

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"
)

// Caching is until when caches may give out a response without asking again. With
// nothing set but At, all is left to the app: not a byte is changed.
type Caching struct {
	At time.Time // now, by the clock that the others are by
	// Shared is for caches that give one client what another one got (RFC 9111),
	// and Private for a client's own. Zero: as long as the app says. A moment
	// that isn't to come: a shared cache may not keep it at all.
	Shared, Private time.Time
	// Longest, if not zero, is for how long any cache may give it out at most. What
	// doesn't say how long it is fresh is left to shared caches as it is.
	Longest time.Duration
	// Key, if not empty, is the request's field by which a shared cache tells
	// apart whom it gives what.
	Key string
	// OnCopies, if not nil, is told what caches may keep of the response.
	OnCopies func(Copies)
}

// Copies is until when caches may give out a response, zero where they may not keep
// it.
type Copies struct {
	Shared, Private time.Time
	// Unstated is that the response doesn't say how long it is fresh, so that a
	// shared cache may keep it for as long as it sees fit.
	Unstated bool
}

// cacheMargin is how long before its moment a copy ends: caches count in whole
// seconds, and from when they have the response, which may be on its way for a
// while.
const cacheMargin = 5 * time.Second

// limit makes a response's fields say no more than caches may do.
//
//   - Cache-Control: RFC 9111 section 5.2; stale-while-revalidate and
//     stale-if-error: RFC 5861. Expires: RFC 9111 section 5.3. What says nothing
//     of how long it is fresh, caches may keep as they see fit (4.2.2).
//   - Fields for some shared caches alone, which go before Cache-Control:
//     CDN-Cache-Control and its kin (RFC 9213), Surrogate-Control (Edge
//     Architecture Specification), nginx's X-Accel-Expires, Akamai's Edge-Control.
//
// immutable (RFC 8246) says something of a fresh response only, and may stay.
func (c Caching) limit(h http.Header, request *http.Request, status int) {
	r := cachedResponse{header: h, request: request, status: status, now: c.At, directives: parseDirectives(h["Cache-Control"])}
	if !c.Shared.IsZero() { // first: what is said for private caches must allow shared ones nothing
		if left := secondsUntil(c.Shared, c.At); left > 0 && r.mayBeShared() {
			r.limitShared(left, true)
		} else {
			r.forbidShared()
		}
	}
	if !c.Private.IsZero() {
		r.limitPrivate(secondsUntil(c.Private, c.At))
	}
	if longest := int64(c.Longest / time.Second); longest > 0 {
		r.limitShared(longest, false)
		r.limitPrivate(longest)
	}
	if c.Key != "" && !httpguts.HeaderValuesContainsToken(h["Vary"], c.Key) && !httpguts.HeaderValuesContainsToken(h["Vary"], "*") {
		h.Add("Vary", c.Key)
	}
	if r.changed {
		h["Cache-Control"] = []string{r.directives.String()}
	}
	if c.OnCopies != nil && (request.Method == http.MethodGet || request.Method == http.MethodHead) {
		c.OnCopies(r.copies())
	}
}

// copies returns until when caches may give out the response as it is now.
func (r *cachedResponse) copies() (c Copies) {
	d := r.directives
	until := func(age lifetime, d directives) time.Time {
		if seconds := age.most + d.staleness(); seconds > 0 {
			return r.now.Add(time.Duration(seconds) * time.Second)
		}
		return time.Time{}
	}
	if age, said := r.lifetime(); !d.forbidStoring() && !d.has("no-cache") {
		if !said {
			age = r.heuristicLifetime()
		}
		c.Private = until(age, d)
	}
	if !d.forbidStoring() && !d.has("private") && !d.has("no-cache") {
		age, said := r.sharedLifetime()
		c.Shared, c.Unstated = until(age, d), !said
	}
	for name, values := range r.header {
		age, d := lifetime{}, directives(nil)
		switch {
		case name == "X-Accel-Expires":
			age.most = accelSeconds(values, r.now)
		case isTargeted(name):
			d = parseDirectives(values)
			for _, directive := range [...]string{"max-age", "s-maxage"} {
				said, _ := d.age(directive)
				age.most = max(age.most, said.most)
			}
		}
		if end := until(age, d); end.After(c.Shared) {
			c.Shared = end
		}
	}
	return c
}

func secondsUntil(end, now time.Time) int64 {
	return max(0, int64(end.Sub(now)-cacheMargin)/int64(time.Second))
}

// cachedResponse is a response as caches see it.
type cachedResponse struct {
	header     http.Header
	request    *http.Request
	status     int
	now        time.Time
	directives directives
	changed    bool
}

// limitPrivate makes a client's own cache ask again after some seconds.
func (r *cachedResponse) limitPrivate(left int64) {
	age, said := r.lifetime()
	switch {
	case r.directives.forbidStoring(), r.directives.has("no-cache"):
		return
	case !said:
		age = r.heuristicLifetime()
	}
	if age.most+r.directives.staleness() <= left {
		return
	}
	if r.isForOneUser() && !r.directives.has("private") {
		r.directives.set("private", "")
	}
	r.setAge("max-age", min(age.least, left))
	r.directives.remove("stale-while-revalidate", "stale-if-error")
	r.directives.set("must-revalidate", "")
	delete(r.header, "Expires") // max-age goes before it
}

// mayBeShared reports whether it is known how long a shared cache would keep the
// response, and that this is allowed.
func (r *cachedResponse) mayBeShared() bool {
	d := r.directives
	switch {
	case d.has("private"), d.forbidStoring(), d.has("no-cache"):
		return true // it wouldn't, or not without asking
	case r.isForOneUser():
		return false
	}
	_, said := r.sharedLifetime()
	return said
}

// isForOneUser reports whether no shared cache may keep the response, as it is to
// who has signed in (RFC 9111 section 3.5). To say for how long one may, or that it
// must revalidate, would allow it.
func (r *cachedResponse) isForOneUser() bool {
	d := r.directives
	return r.request.Header["Authorization"] != nil && !d.has("public") && !d.has("s-maxage") && !d.has("must-revalidate")
}

func (r *cachedResponse) sharedLifetime() (lifetime, bool) {
	if age, said := r.directives.age("s-maxage"); said {
		return age, true
	}
	return r.lifetime()
}

// limitShared makes shared caches ask again after some seconds. A field for some of
// them that doesn't say how long is strict about it: they may keep nothing.
func (r *cachedResponse) limitShared(left int64, strict bool) {
	if age, said := r.sharedLifetime(); said && !r.directives.has("private") && !r.directives.forbidStoring() && !r.isForOneUser() && age.most+r.directives.staleness() > left {
		r.setAge("s-maxage", min(age.least, left))
		r.directives.remove("stale-while-revalidate", "stale-if-error")
	}
	for name, values := range r.header {
		switch {
		case name == "X-Accel-Expires":
			if accelSeconds(values, r.now) > left {
				r.header[name] = []string{strconv.FormatInt(left, 10)}
			}
		case isTargeted(name):
			d := parseDirectives(values)
			age, said := d.age("max-age")
			if s, saidShared := d.age("s-maxage"); saidShared {
				age, said = lifetime{min(age.least, s.least), max(age.most, s.most)}, true
			}
			switch {
			case d.has("no-store"), d.has("private"), said && age.most+d.staleness() <= left && name != "Edge-Control":
			case said && name != "Edge-Control":
				d.remove("max-age", "s-maxage", "stale-while-revalidate", "stale-if-error")
				d.set("max-age", strconv.FormatInt(min(age.least, left), 10))
				r.header[name] = []string{d.String()}
			case said, strict, name == "Edge-Control": // of which it isn't known how long it says
				r.header[name] = noStore(d)
			}
		}
	}
}

// forbidShared makes shared caches keep nothing.
func (r *cachedResponse) forbidShared() {
	for name, values := range r.header {
		if isTargeted(name) {
			r.header[name] = noStore(parseDirectives(values))
		}
	}
	r.header["Cdn-Cache-Control"] = []string{"no-store"}
	// nginx would keep, by proxy_cache_valid, what says 304 of a copy that it has,
	// unless it is told when that was over: in 1970.
	r.header["X-Accel-Expires"] = []string{"0"}
	if r.status == http.StatusNotModified {
		r.header["X-Accel-Expires"] = []string{"@1"}
	}
	r.directives.remove("public", "s-maxage", "proxy-revalidate")
	r.directives.set("private", "")
	r.changed = true
}

// setAge replaces what is said of how long the response is fresh.
func (r *cachedResponse) setAge(directive string, seconds int64) {
	r.directives.remove(directive)
	r.directives.set(directive, strconv.FormatInt(seconds, 10))
	r.changed = true
}

// A lifetime is how long a response is fresh, in seconds: the least and the most
// that somebody could read.
type lifetime struct{ least, most int64 }

// lifetime returns what max-age says, or Expires instead.
func (r *cachedResponse) lifetime() (lifetime, bool) {
	if age, said := r.directives.age("max-age"); said {
		return age, true
	}
	expires, said := r.header["Expires"]
	if !said {
		return lifetime{}, false
	}
	age := lifetime{least: math.MaxInt32}
	for _, text := range expires {
		seconds := int64(0) // what is no date is past
		if end, err := http.ParseTime(text); err == nil {
			seconds = max(0, int64(end.Sub(r.date())/time.Second), int64(end.Sub(r.now)/time.Second))
		}
		age = lifetime{min(age.least, seconds), max(age.most, seconds)}
	}
	return age, true
}

// heuristicLifetime returns how long caches take a response for fresh that
// doesn't say it: a tenth of its age, and some statuses for ever (RFC 9111
// section 4.2.2).
func (r *cachedResponse) heuristicLifetime() lifetime {
	switch r.status {
	case http.StatusMultipleChoices, http.StatusMovedPermanently, http.StatusPermanentRedirect, http.StatusGone:
		return lifetime{math.MaxInt32, math.MaxInt32}
	case http.StatusOK, http.StatusNonAuthoritativeInfo, http.StatusNoContent, http.StatusPartialContent, http.StatusNotModified,
		http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusRequestURITooLong, http.StatusNotImplemented:
		modified, err := http.ParseTime(r.header.Get("Last-Modified"))
		switch {
		case err == nil:
			seconds := max(0, int64(r.date().Sub(modified)/time.Second)/10)
			return lifetime{seconds, seconds}
		case r.status == http.StatusNotModified:
			return lifetime{0, math.MaxInt32} // as the copy says
		}
	}
	return lifetime{}
}

func (r *cachedResponse) date() time.Time {
	if date, err := http.ParseTime(r.header.Get("Date")); err == nil {
		return date
	}
	return r.now
}

// isTargeted reports whether a field is for some shared caches alone, in place of
// Cache-Control.
func isTargeted(name string) bool {
	return strings.HasSuffix(name, "-Cache-Control") || name == "Surrogate-Control" || name == "Edge-Control"
}

// noStore returns what a targeted field says instead, with what it says beside
// caching: Surrogate-Control asks for the processing of ESI.
func noStore(d directives) []string {
	kept := slices.DeleteFunc(d, func(d directive) bool { return d.name != "content" })
	return []string{append(directives{{name: "no-store", text: "no-store"}}, kept...).String()}
}

// accelSeconds returns for how many seconds X-Accel-Expires has a response kept: it
// is their number, or behind "@" a time.
func accelSeconds(values []string, now time.Time) (most int64) {
	for _, value := range values {
		text, isTime := strings.CutPrefix(strings.TrimSpace(value), "@")
		n, err := strconv.ParseInt(text, 10, 64)
		switch {
		case err != nil && strings.Trim(text, "0123456789") == "" && text != "":
			n = math.MaxInt32
		case err != nil:
			continue // nginx skips it, too
		case isTime:
			n -= now.Unix()
		}
		most = max(most, min(n, math.MaxInt32))
	}
	return most
}

// A directive is an element of Cache-Control.
type directive struct {
	name, argument string // the name in lower case; the argument without quotes
	text           string // as it stands
}

type directives []directive

// parseDirectives reads lists of directives. A comma within quotes ends none;
// quotes that don't end are dropped, as readers differ there.
func parseDirectives(lines []string) directives {
	if len(lines) == 0 {
		return nil
	}
	all := make(directives, 0, 4)
	for _, line := range lines {
		for line != "" {
			text, rest := cutDirective(line)
			line = rest
			if text = strings.TrimSpace(text); text == "" {
				continue
			}
			name, argument, _ := strings.Cut(text, "=")
			all = append(all, directive{strings.ToLower(strings.TrimSpace(name)), strings.Trim(strings.TrimSpace(argument), `"`), text})
		}
	}
	return all
}

// cutDirective cuts a list behind its first directive.
func cutDirective(line string) (first, rest string) {
	quoted := false
	for i := 0; i < len(line); i++ {
		switch c := line[i]; {
		case c == '"':
			quoted = !quoted
		case quoted && c == '\\':
			i++
		case !quoted && c == ',':
			return line[:i], line[i+1:]
		}
	}
	if quoted {
		first, rest, _ = strings.Cut(line, ",")
		return strings.ReplaceAll(first, `"`, ""), rest
	}
	return line, ""
}

// has reports whether a directive is there without an argument. With one, as in
// private="set-cookie", it is about some fields only.
func (d directives) has(name string) bool {
	return slices.ContainsFunc(d, func(d directive) bool { return d.name == name && (d.argument == "" || name == "s-maxage") })
}

// forbidStoring reports whether no cache may keep the response. One that knows
// must-understand goes by that, and not by no-store (RFC 9111 section 5.2.2.3).
func (d directives) forbidStoring() bool { return d.has("no-store") && !d.has("must-understand") }

// age returns how many seconds a directive says; of several, and of what is no
// number, what somebody could read.
func (d directives) age(name string) (age lifetime, said bool) {
	age.least = math.MaxInt32
	for _, d := range d {
		if d.name != name {
			continue
		}
		said = true
		seconds, err := strconv.ParseUint(d.argument, 10, 31)
		switch {
		case err == nil:
			age = lifetime{min(age.least, int64(seconds)), max(age.most, int64(seconds))}
		case strings.Trim(d.argument, "0123456789") == "" && d.argument != "":
			age.most = math.MaxInt32
		default:
			age = lifetime{0, math.MaxInt32}
		}
	}
	if !said {
		age.least = 0
	}
	return age, said
}

// staleness returns for how many seconds more the response may be given out, once
// it isn't fresh.
func (d directives) staleness() int64 {
	revalidate, _ := d.age("stale-while-revalidate")
	failing, _ := d.age("stale-if-error")
	return max(revalidate.most, failing.most)
}

func (d *directives) remove(names ...string) {
	*d = slices.DeleteFunc(*d, func(d directive) bool { return slices.Contains(names, d.name) })
}

// set puts a directive in the place of those of its name.
func (d *directives) set(name, argument string) {
	d.remove(name)
	text := name
	if argument != "" {
		text += "=" + argument
	}
	*d = append(*d, directive{name, argument, text})
}

func (d directives) String() string {
	texts := make([]string, len(d))
	for i, directive := range d {
		texts[i] = directive.text
	}
	return strings.Join(texts, ", ")
}
