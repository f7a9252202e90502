package routes_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/policy/routes"
)

func TestParse(t *testing.T) {
	for _, text := range []string{
		"/",
		"/{$}",
		"/{rest...}",
		"/signup",
		"POST /signup",
		"PURGE\t /signup/",
		"GET news.example.com/",
		"xn--bcher-kva.example/a_b/{type}/{größe}/{$}",
		"localhost/a",
		"/caf%C3%A9/a%2Fb/100%25",
		"/café/a;b=c/a:b@c",
		"/.well-known/",
	} {
		pattern, err := routes.Parse(text)
		if err != nil {
			t.Error(err)
		}
		if pattern.String() != text {
			t.Errorf("%q becomes %q", text, pattern)
		}
	}
}

func TestParse_mistakes(t *testing.T) {
	const syntax = `want [METHOD ][HOST]/PATH, for example "POST /signup" or "news.example.com/"`
	for text, want := range map[string]string{
		"":                             `no path: ` + syntax,
		"signup":                       `no path: ` + syntax,
		"GET":                          `no path: ` + syntax,
		"GET ":                         `no path: ` + syntax,
		" /a":                          `begins with a space: remove it`,
		"/a b":                         `space in or after the path: remove it, or write %20`,
		"/a ":                          `space in or after the path: remove it, or write %20`,
		"GET,POST /a":                  `"GET,POST" is not a method: want one such as GET or POST`,
		"GÉT /a":                       `"GÉT" is not a method: want one such as GET or POST`,
		"get /a":                       `methods are case-sensitive: write GET, not get`,
		"News.Example.com/":            `host "News.Example.com" has upper-case letters: write "news.example.com"`,
		"news.example.com:443/":        `host "news.example.com:443" has a port: write "news.example.com"`,
		".example.com/":                `host ".example.com" has an empty label: want a name such as news.example.com`,
		"example.com./":                `host "example.com." has an empty label: want a name such as news.example.com`,
		"*.example.com/":               `host "*.example.com" contains '*': want one name such as news.example.com (xn--… for other alphabets), or begin with / for any host`,
		"bücher.example/":              `host "bücher.example" contains 'ü': want one name such as news.example.com (xn--… for other alphabets), or begin with / for any host`,
		"{host}/a":                     `host "{host}" contains '{': want one name such as news.example.com (xn--… for other alphabets), or begin with / for any host`,
		"//a":                          `path has empty or dot segments: write "/a"`,
		"/a//b/":                       `path has empty or dot segments: write "/a/b/"`,
		"/a/./b":                       `path has empty or dot segments: write "/a/b"`,
		"/a/../b":                      `path has empty or dot segments: write "/b"`,
		"/a/..":                        `path has empty or dot segments: write "/"`,
		"/a/%2e%2E/b":                  `"%2e%2E" is a dot segment: write the path that it leads to`,
		"/search?q={query}":            `'?' begins a query or fragment, which patterns don't match: leave it out, or write %3F for the character`,
		"/a#b":                         `'#' begins a query or fragment, which patterns don't match: leave it out, or write %23 for the character`,
		"/100%":                        `"100%" has a broken percent-escape: write %25 for a percent sign`,
		"/a{b}":                        `"a{b}" mixes a wildcard with other text: a wildcard is a whole segment, as in /a/{name}/b`,
		"/{a":                          `"{a" mixes a wildcard with other text: a wildcard is a whole segment, as in /a/{name}/b`,
		"/{a}b":                        `"{a}b" mixes a wildcard with other text: a wildcard is a whole segment, as in /a/{name}/b`,
		"/{}":                          `"{}" is not a wildcard: want {name}, {name...} or {$}, the name of letters, digits and _`,
		"/{...}":                       `"{...}" is not a wildcard: want {name}, {name...} or {$}, the name of letters, digits and _`,
		"/{1a}":                        `"{1a}" is not a wildcard: want {name}, {name...} or {$}, the name of letters, digits and _`,
		"/{$...}":                      `"{$...}" is not a wildcard: want {name}, {name...} or {$}, the name of letters, digits and _`,
		"/{$}/a":                       `{$} can only be the last segment`,
		"/{$}/":                        `{$} can only be the last segment`,
		"/{a...}/b":                    `{a...} can only be the last segment`,
		"/{a}/{b}/{a}":                 `two wildcards are named {a}: give each its own name`,
		"/{a}/{a...}":                  `two wildcards are named {a}: give each its own name`,
		"/" + strings.Repeat("é", 128): `a segment of 256 bytes: at most 255 are allowed`,
		strings.Repeat("/a", 1025):     `2050 bytes long: at most 2048 are allowed`,
	} {
		_, err := routes.Parse(text)
		if err == nil {
			t.Errorf("%q is accepted", text)
			continue
		}
		if _, got, _ := strings.Cut(err.Error(), `": `); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
	_, err := routes.Parse("get /a")
	if got, want := err.Error(), `route pattern "get /a": methods are case-sensitive: write GET, not get`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// What routes accepts, ServeMux accepts.
func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, text string) {
		pattern, err := routes.Parse(text)
		if err != nil {
			return
		}
		if pattern.String() != text {
			t.Errorf("%q becomes %q", text, pattern)
		}
		if refused := register(http.NewServeMux(), text); refused != nil {
			t.Errorf("ServeMux refuses it: %v", refused)
		}
		if _, conflicts := routes.New([]routes.Rule{{Class: 1, Pattern: pattern}, {Class: 2, Pattern: pattern}}); len(conflicts) != 1 {
			t.Errorf("%q conflicts with itself in another class, not %v", text, conflicts)
		}
	})
}
