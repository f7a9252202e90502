package proxy

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// Issue 10, C13: what of a response caches may keep, and how long.
func TestCaching(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(seconds int) time.Time { return now.Add(time.Duration(seconds) * time.Second) }
	hour := at(3605) // with the margin, an hour is left
	httpDate := func(seconds int) string { return at(seconds).Format(http.TimeFormat) }
	never := time.Time{}
	for _, test := range []struct {
		name   string
		shared time.Time
		own    time.Time // private caches
		in     string    // status or method first, if it isn't 200 to GET; fields separated by "|"
		want   string
	}{
		{"nothing is refused anywhere", never, never, "Cache-Control: public,max-age=60 , S-MaxAge=9|Surrogate-Control: max-age=5", "Cache-Control: public,max-age=60 , S-MaxAge=9|Surrogate-Control: max-age=5"},

		{"refused somewhere", now, never, "Cache-Control: public, max-age=60, s-maxage=600", "Cache-Control: max-age=60, private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
		{"refused somewhere, and nothing is said", now, never, "", "Cache-Control: private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
		{"refused somewhere, said in upper case and twice", now, never, "Cache-Control: PUBLIC, S-MAXAGE=5|Cache-Control: max-age=60", "Cache-Control: max-age=60, private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
		{"private for a field only", now, never, `Cache-Control: private="set-cookie, x", max-age=60`, "Cache-Control: max-age=60, private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
		{"a comma in quotes", now, never, `Cache-Control: no-cache="a, public", max-age=60`, `Cache-Control: no-cache="a, public", max-age=60, private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0`},
		{"quotes that don't end", now, never, `Cache-Control: x="a, public`, `Cache-Control: x=a, private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0`},
		{"not to be stored at all", now, never, "Cache-Control: no-store", "Cache-Control: no-store, private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
		{"fields for some caches", now, never, "CDN-Cache-Control: max-age=60|Cloudflare-CDN-Cache-Control: max-age=60|Surrogate-Control: max-age=60+30, content=\"ESI/1.0\"|Edge-Control: max-age=1d|X-Accel-Expires: 60|X-LiteSpeed-Cache-Control: public,max-age=6",
			"Cache-Control: private|Cdn-Cache-Control: no-store|Cloudflare-Cdn-Cache-Control: no-store|Edge-Control: no-store|Surrogate-Control: no-store, content=\"ESI/1.0\"|X-Accel-Expires: 0|X-Litespeed-Cache-Control: no-store"},
		{"a copy is confirmed", now, never, "304|Cache-Control: public, max-age=60", "Cache-Control: max-age=60, private|Cdn-Cache-Control: no-store|X-Accel-Expires: @1"},
		{"stale for a client's own", now, never, "Cache-Control: max-age=60, stale-while-revalidate=600, immutable", "Cache-Control: max-age=60, stale-while-revalidate=600, immutable, private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},

		{"fresh for less than is left", hour, hour, "Cache-Control: public, max-age=3600|CDN-Cache-Control: max-age=3600|X-Accel-Expires: 3600", "Cache-Control: public, max-age=3600|Cdn-Cache-Control: max-age=3600|X-Accel-Expires: 3600"},
		{"fresh for more than is left elsewhere", hour, never, "Cache-Control: public, max-age=86400", "Cache-Control: public, max-age=86400, s-maxage=3600"},
		{"fresh for more than is left here", hour, hour, "Cache-Control: public, max-age=86400, immutable", "Cache-Control: public, immutable, s-maxage=3600, max-age=3600, must-revalidate"},
		{"for shared caches only", hour, hour, "Cache-Control: max-age=60, s-maxage=86400", "Cache-Control: max-age=60, s-maxage=3600"},
		{"stale for more than is left", hour, hour, "Cache-Control: max-age=60, stale-while-revalidate=86400", "Cache-Control: max-age=60, s-maxage=60"},
		{"stale on errors for more than is left", hour, never, "Cache-Control: max-age=60, stale-if-error=86400", "Cache-Control: max-age=60, s-maxage=60"},
		{"stale for less than is left", hour, hour, "Cache-Control: max-age=60, stale-if-error=60", "Cache-Control: max-age=60, stale-if-error=60"},
		{"by a date", hour, hour, "Expires: " + httpDate(86400), "Cache-Control: s-maxage=3600, max-age=3600, must-revalidate"},
		{"by a date that is past", hour, hour, "Expires: 0", "Expires: 0"},
		{"by a date near enough", hour, hour, "Expires: " + httpDate(600), "Expires: " + httpDate(600)},
		{"by a date of a clock that is behind", hour, hour, "Date: " + httpDate(-7200) + "|Expires: " + httpDate(600), "Cache-Control: s-maxage=3600, max-age=3600, must-revalidate|Date: " + httpDate(-7200)},
		{"said twice", hour, hour, "Cache-Control: max-age=60|Cache-Control: max-age=86400", "Cache-Control: s-maxage=60, max-age=60, must-revalidate"},
		{"no number", hour, hour, "Cache-Control: max-age=1x", "Cache-Control: s-maxage=0, max-age=0, must-revalidate"},
		{"a number beyond all", hour, never, "Cache-Control: max-age=99999999999999999999", "Cache-Control: max-age=99999999999999999999, s-maxage=3600"},
		{"nothing is said of how long", hour, never, "Cache-Control: public", "Cache-Control: private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
		{"asked for again each time", hour, hour, "Cache-Control: no-cache, max-age=86400", "Cache-Control: no-cache, max-age=86400, s-maxage=3600"},
		{"said for some caches only", hour, never, "Cache-Control: private, max-age=5|CDN-Cache-Control: max-age=86400, stale-if-error=9|Surrogate-Control: max-age=10|Edge-Control: max-age=1d|X-Accel-Expires: @1900000000",
			"Cache-Control: private, max-age=5|Cdn-Cache-Control: max-age=3600|Edge-Control: no-store|Surrogate-Control: max-age=10|X-Accel-Expires: 3600"},
		{"of who is signed in", hour, never, "auth|Cache-Control: max-age=86400", "Cache-Control: max-age=86400, private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
		{"of who is signed in, for all", hour, never, "auth|Cache-Control: public, max-age=86400", "Cache-Control: public, max-age=86400, s-maxage=3600"},
		{"of who is signed in, to be asked for again", hour, hour, "auth|Cache-Control: max-age=86400", "Cache-Control: private, max-age=3600, must-revalidate|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
		{"old, and nothing is said", now, hour, "Last-Modified: " + httpDate(-86400*30), "Cache-Control: private, max-age=3600, must-revalidate|Cdn-Cache-Control: no-store|Last-Modified: " + httpDate(-86400*30) + "|X-Accel-Expires: 0"},
		{"young, and nothing is said", now, hour, "Last-Modified: " + httpDate(-600), "Cache-Control: private|Cdn-Cache-Control: no-store|Last-Modified: " + httpDate(-600) + "|X-Accel-Expires: 0"},
		{"moved for ever", now, hour, "301", "Cache-Control: private, max-age=3600, must-revalidate|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
		{"found for now", now, hour, "302", "Cache-Control: private|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
		{"a copy is confirmed that may be long", now, hour, "304", "Cache-Control: private, max-age=0, must-revalidate|Cdn-Cache-Control: no-store|X-Accel-Expires: @1"},
		{"within the last second", at(1), at(1), "Cache-Control: public, max-age=60", "Cache-Control: private, max-age=0, must-revalidate|Cdn-Cache-Control: no-store|X-Accel-Expires: 0"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, request, status := make(http.Header), &http.Request{Method: "GET", Header: make(http.Header)}, 200
			for field := range strings.SplitSeq(test.in, "|") {
				name, value, isField := strings.Cut(field, ": ")
				switch {
				case isField:
					h.Add(name, value)
				case field == "auth":
					request.Header.Set("Authorization", "Bearer x")
				case field != "":
					fmt.Sscan(field, &status)
				}
			}
			Caching{At: now, Shared: test.shared, Private: test.own}.limit(h, request, status)
			var got []string
			for _, name := range slices.Sorted(maps.Keys(h)) {
				for _, value := range h[name] {
					got = append(got, name+": "+value)
				}
			}
			want := test.want
			if test.shared.IsZero() { // byte for byte
				want = "Cache-Control: public,max-age=60 , S-MaxAge=9|Surrogate-Control: max-age=5"
			}
			if is := strings.Join(got, "|"); is != strings.ReplaceAll(want, "CDN", "Cdn") {
				t.Errorf("of %s\nit is  %s\nwant   %s", test.in, is, want)
			}
		})
	}
}

func TestCaching_byPlace(t *testing.T) {
	now := time.Now()
	for given, want := range map[string]string{"": "X-Country", "Accept": "Accept, X-Country", "accept, x-country": "accept, x-country", "*": "*"} {
		h := http.Header{"Cache-Control": {"public, max-age=60"}}
		if given != "" {
			h.Set("Vary", given)
		}
		Caching{At: now, Key: "X-Country"}.limit(h, &http.Request{}, 200)
		if got := strings.Join(h["Vary"], ", "); got != want || h.Get("Cache-Control") != "public, max-age=60" {
			t.Errorf("of Vary: %s comes %s, and %s", given, got, h["Cache-Control"])
		}
	}
}

// A bound for all caches leaves what is fresh for less as it is, and what doesn't say
// for how long to shared caches.
func TestCaching_longest(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct{ name, in, want string }{
		{"fresh for less, byte for byte", "Cache-Control: public,max-age=86400 , immutable|Cdn-Cache-Control: max-age=9", "Cache-Control: public,max-age=86400 , immutable|Cdn-Cache-Control: max-age=9"},
		{"nothing is said", "", ""},
		{"nothing is said of how long", "Cache-Control: public|Surrogate-Control: content=\"ESI/1.0\"", "Cache-Control: public|Surrogate-Control: content=\"ESI/1.0\""},
		{"fresh for a year", "Cache-Control: public, max-age=31536000|X-Accel-Expires: 31536000", "Cache-Control: public, s-maxage=86400, max-age=86400, must-revalidate|X-Accel-Expires: 86400"},
		{"of who is signed in", "auth|Cache-Control: max-age=31536000", "Cache-Control: private, max-age=86400, must-revalidate"},
		{"of who is signed in, and nothing is said", "auth|X-Other: a", "X-Other: a"},
		{"for one cache, in words of its own", "Edge-Control: cache-maxage=7d", "Edge-Control: no-store"},
		{"moved for ever", "301", "Cache-Control: max-age=86400, must-revalidate"},
		{"not to be stored", "Cache-Control: no-store, max-age=31536000", "Cache-Control: no-store, max-age=31536000"},
	} {
		t.Run(test.name, func(t *testing.T) {
			h, request, status := make(http.Header), &http.Request{Method: "GET", Header: make(http.Header)}, 200
			for field := range strings.SplitSeq(test.in, "|") {
				name, value, isField := strings.Cut(field, ": ")
				switch {
				case isField:
					h.Add(name, value)
				case field == "auth":
					request.Header.Set("Authorization", "Bearer x")
				case field != "":
					fmt.Sscan(field, &status)
				}
			}
			Caching{At: time.Now(), Longest: day}.limit(h, request, status)
			var got []string
			for _, name := range slices.Sorted(maps.Keys(h)) {
				got = append(got, name+": "+strings.Join(h[name], ", "))
			}
			if is := strings.Join(got, "|"); is != test.want {
				t.Errorf("of %s\nit is  %s\nwant   %s", test.in, is, test.want)
			}
		})
	}
}

// No cache keeps longer what is limited, whatever an app says.
func FuzzCaching(f *testing.F) {
	f.Add("public, max-age=60, s-maxage=600", "max-age=5, stale-while-revalidate=9", "60", "")
	f.Add(`private="a, b`, `"`, "@99999999999", "Thu, 26 Nov 2026 12:00:00 GMT")
	f.Add("max-age=\"99999\", no-cache=x", "s-maxage=1", "-1", "0")
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, control, targeted, accel, expires string) {
		fields := http.Header{"Cache-Control": {control}, "Cdn-Cache-Control": {targeted}, "X-Accel-Expires": {accel}, "Expires": {expires}}
		h := fields.Clone()
		Caching{At: now, Shared: now, Private: now.Add(time.Minute)}.limit(h, &http.Request{Header: http.Header{}}, 200)
		d := parseDirectives(h["Cache-Control"])
		if !d.has("private") || h.Get("Cdn-Cache-Control") != "no-store" || h.Get("X-Accel-Expires") != "0" {
			t.Fatalf("of %q comes %q", fields, h)
		}
		h = fields.Clone()
		Caching{At: now, Shared: now.Add(time.Minute)}.limit(h, &http.Request{Header: http.Header{}}, 200)
		d = parseDirectives(h["Cache-Control"])
		age, said := d.age("s-maxage")
		if !said {
			age, said = d.age("max-age")
		}
		if said && !d.has("private") && age.most+d.staleness() > 60 {
			t.Fatalf("of %q comes %q", fields, h)
		}
	})
}

func TestCopies(t *testing.T) {
	now := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	for _, test := range []struct {
		in              string
		shared, private int // seconds; 0 for none
		unstated        bool
	}{
		{"Cache-Control: no-store", 0, 0, false},
		{"Cache-Control: no-cache, max-age=60", 0, 0, false},
		{"Cache-Control: private, max-age=60", 0, 60, false},
		{"Cache-Control: public, max-age=60, s-maxage=600, stale-if-error=5", 605, 65, false},
		{"Cache-Control: private, max-age=60|Cdn-Cache-Control: max-age=7, stale-while-revalidate=1", 8, 60, false},
		{"Cache-Control: private, max-age=60|X-Accel-Expires: @" + fmt.Sprint(now.Unix()+9), 9, 60, false},
		{"", 0, 0, true},
		{"Last-Modified: " + now.Add(-1000*time.Second).Format(http.TimeFormat), 0, 100, true},
		{"Expires: " + now.Add(time.Hour).Format(http.TimeFormat), 3600, 3600, false},
	} {
		h := make(http.Header)
		for field := range strings.SplitSeq(test.in, "|") {
			if name, value, ok := strings.Cut(field, ": "); ok {
				h.Add(name, value)
			}
		}
		var got Copies
		Caching{At: now, OnCopies: func(c Copies) { got = c }}.limit(h, &http.Request{Method: "GET"}, 200)
		seconds := func(end time.Time) int { return int(max(0, end.Sub(now)) / time.Second) }
		if seconds(got.Shared) != test.shared && !(test.unstated && test.shared == 0) || seconds(got.Private) != test.private || got.Unstated != test.unstated {
			t.Errorf("of %q caches may serve for %d and %d s, %v", test.in, seconds(got.Shared), seconds(got.Private), got.Unstated)
		}
	}
}
