package routes_test

import (
	"cmp"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path"
	"regexp"
	"strings"
	"testing"

	"github.com/exitgate/exitgate/policy/routes"
)

var service = []string{"/legal/", "/signup", "/signup/", "/files/", "/account/export", "/projects/{name}", "/projects/{name}/delete"}

func TestClassify_ambiguous(t *testing.T) {
	table := tableOf(t, service...)
	for trick, paths := range map[string][]string{
		"empty segments": {
			"//signup", "/account//export", "/files//../signup", "///signup", "/signup//..",
		},
		"dot segments": {
			"/./signup", "/x/../signup", "/legal/../signup", "/signup/.", "/signup/..", "/signup/../x", "/account/./export",
			"/legal/x/../../signup", "/../signup", "/legal/..",
		},
		"encoded dots": {
			"/legal/%2e%2e/signup", "/legal/%2E./signup", "/legal/.%2e/signup", "/%2e/signup", "/signup/%2e%2e",
		},
		"encoded slashes": {
			"/%2fsignup", "/account%2Fexport", "/legal/..%2fsignup", "/legal%2F..%2Fsignup", "/legal/%2e%2e%2fsignup",
			"/projects/a%2Fdelete", "/projects%2Fa",
		},
		"encoded slashes, for readers that don't resolve dot segments": {
			"/signup%2F..%2Fx",
		},
		"encoded slashes, for readers that resolve dot segments before they decode": {
			"/a/../signup%2F..%2Fx", "/x/b%2Fc/../../signup",
		},
		"encoded dots, for readers that keep slashes encoded": {
			"/legal/%2e%2e/projects/a%2Fdelete",
		},
		"backslashes": {
			`/\signup`, `/legal/..\signup`, `/legal\..\signup`, `/account\export`, "/%5csignup", "/legal/..%5Csignup", "/account%5cexport",
		},
		"parameters": {
			"/signup;x=1", "/signup;", "/;/signup", "/legal/..;/signup", "/legal/..;x=1/signup", "/account;a/export;b",
			"/signup%3bx=1", "/legal/..%3b/signup", "/legal/%2e%2e;/signup", "/legal/.;/..;/signup",
		},
		"parameters, for readers that don't strip encoded ones": {
			"/signup/a;p/..%3b/x/../../../y", "/signup;p/..%3b/x",
		},
		"queries and fragments in the path": {
			"/signup%3Fx", "/signup%23x", "/signup%253fx", "/signup?x", "/signup#", "/legal/../signup%23/x",
		},
		"decoding twice": {
			"/sign%2575p", "/legal/%252e%252e/signup", "/legal/..%252fsignup", "/legal/%252e%252e%252fsignup", "/account%255Cexport",
			"/projects/a%252fdelete", "/legal/..%253b/signup",
		},
		"several at once": {
			`/legal/x//..;a/.%2e\signup`, "/legal//%2e%2e;/..%5csignup", "/legal/%5c..%2f%2e%2e%2f/signup;jsessionid=1",
		},
		"so many that nobody can say": {
			"/legal" + strings.Repeat("/a;b//./c%2F..%2Fd%5ce", 8), "/legal/" + strings.Repeat("/", 20<<10),
		},
		"overlong UTF-8": {
			"/legal/x%c0%afy", "/legal/%c0%ae%c0%ae/signup", "/legal/%C1%9C", "/legal/%e0%80%af", "/legal/%f0%80%80%af",
			"/legal/%F8%80%80%80%AF", "/legal/%FC%80%80%80%80%AF", "/legal/%25c0%25af", "/legal/\xc0\xaf",
		},
		"C9: network-path references, for those who make a URL of the target": {
			"//x/signup", "///x/signup", "//user:password@x:80/signup", `/\x/signup`, "/%2fx/signup", "/legal/..//x/signup", "//x/y/../signup",
		},
		"C9: tabs, line breaks and space, for the same": {
			"/legal/.%09./signup", "/legal/.%0a./signup", "/legal/.%0D./signup", "/sign%09up", "/signup%20", "/signup%1f%20", "/legal/.%2509./signup",
		},
		"NUL": {
			"/legal/a%00", "/legal/%00/b", "/signup%00.html", "/legal/a%2500", "/legal/a\x00",
		},
		"broken escapes": {
			"/legal/%", "/legal/%2", "/legal/%zz", "/legal/%2g/", "/legal/%u002e%u002e/signup", "/legal/100%", "/legal/%%32%65",
		},
		"no path": {
			"signup", "**", "%2Fsignup", "http://any.example/signup",
		},
	} {
		for _, path := range paths {
			if r := table.Classify("GET", "any.example", path); r.AreOne() {
				t.Errorf("%s: %.80q is of class %d, and not ambiguous", trick, path, r.Class)
			}
		}
	}
}

func TestClassify_unambiguous(t *testing.T) {
	table := tableOf(t, service...)
	for path, want := range map[string]string{
		"":                                       "",
		"/":                                      "",
		"/signup":                                "/signup",
		"/sign%75p":                              "/signup",
		"/legal/terms.html":                      "/legal/",
		"/legal/.well-known/..a/...":             "/legal/",
		"/.well-known/acme-challenge/a":          "",
		"/files/a%2Fb":                           "/files/",
		"/files/a//b":                            "/files/",
		"/files//":                               "/files/",
		"/files/./a":                             "/files/",
		"/files/a/../b":                          "/files/",
		"/files/a%5Cb":                           "/files/",
		`/files/a\b`:                             "/files/",
		"/files/a;v=1/b;v=2":                     "/files/",
		"/files/a%3Bb":                           "/files/",
		"/files/why%3F%23":                       "/files/",
		"/files/a%2Eb":                           "/files/",
		"/files/100%25":                          "/files/",
		"/files/100%25%20off":                    "/files/",
		"/files/a%252Fb":                         "/files/",
		"/files/a%25zz":                          "/files/",
		"/files/Annual%20Report%20%E2%82%AC":     "/files/",
		"/files/%E0%A4%B9%F0%9F%98%80":           "/files/",
		"/files/caf%E9":                          "/files/", // Latin-1
		"/files/https%3A%2F%2Fany.example%2Fa":   "/files/",
		"/files/https://any.example/a":           "/files/",
		"/files/a%20b%20":                        "/files/",
		"/files/a%0Ab":                           "/files/",
		"//any.example/a":                        "",
		"/files//a;b/./c%2Fd":                    "/files/",
		"/legal/%25252e%25252e/signup":           "/legal/", // nobody decodes three times
		"/projects/a;b":                          "/projects/{name}",
		"/projects/%2e%2e%2e":                    "/projects/{name}",
		"/nothing//here/../%2e/;a":               "",
		"/files/" + strings.Repeat("a%2Fb", 500): "/files/",
	} {
		r := table.Classify("GET", "any.example", path)
		got := ""
		if r.Class != routes.None {
			got = service[r.Class-1]
		}
		if got != want || !r.AreOne() {
			t.Errorf("%.80q is decided by %q, ambiguous %v; want %q", path, got, !r.AreOne(), want)
		}
	}
}

// Each of these is caught by no other reading than that of its reader.
func TestClassify_eachNormalizationIsNeeded(t *testing.T) {
	for reader, test := range map[string]struct {
		class1, class2 []string
		path           string
	}{
		"keeps the slash after a dot segment at the end": {nil, []string{"/docs/{$}"}, "/docs/x/.."},
		"drops it":                                   {[]string{"/docs/"}, []string{"/docs"}, "/docs/x/.."},
		"decodes dots, resolves, and keeps %2F":      {[]string{"/x/", "/p/{a}/{b}"}, []string{"/p/{a}"}, "/x/%2e%2e/p/a%2Fb"},
		"decodes, and doesn't resolve":               {nil, []string{"/signup/"}, "/signup%2F..%2Fx"},
		"resolves, then decodes":                     {[]string{"/x/"}, []string{"/signup"}, "/x/b%2Fc/../../signup"},
		"strips parameters, then decodes":            {nil, []string{"/a/"}, "/a;p/..%3b/x"},
		"resolves, and doesn't merge":                {[]string{"/a/"}, []string{"/a/{b}/c"}, "/a/b//../c"},
		"merges, then resolves":                      {[]string{"/a/"}, []string{"/b"}, "/a//../b"},
		"decodes segments that were decoded":         {nil, []string{"/a%2Fb"}, "/a%252Fb"},
		"ends a decoded path at a question mark":     {nil, []string{"/a"}, "/a%3Fb"},
		"decodes twice":                              {nil, []string{"/a/b"}, "/a%252Fb"},
		"takes what follows two slashes for a host":  {nil, []string{"/signup"}, "//x/signup"},
		"takes it from a decoded path":               {nil, []string{"/signup"}, "/%2Fx/signup"},
		"drops tabs":                                 {[]string{"/x/"}, []string{"/signup"}, "/x/.%09./signup"},
		"drops space at the end":                     {nil, []string{"/signup"}, "/signup%20"},
		"takes backslashes for slashes, and %5c not": {nil, []string{`/a/b%5Cc`}, `/a\b%5Cc`},
	} {
		var rules []routes.Rule
		for _, text := range test.class1 {
			rules = append(rules, routes.Rule{Class: 1, Pattern: parse(t, text)})
		}
		for _, text := range test.class2 {
			rules = append(rules, routes.Rule{Class: 2, Pattern: parse(t, text)})
		}
		table, conflicts := routes.New(rules)
		if conflicts != nil {
			t.Fatal(conflicts)
		}
		if r := table.Classify("GET", "any.example", test.path); r.Class == 2 || !r.Include(2) || r.Include(3) {
			t.Errorf("%s: %s is of class %d, readings %+v", reader, test.path, r.Class, r)
		}
	}
}

func TestClassify_asterisk(t *testing.T) {
	table := tableOf(t, "/")
	for method, want := range map[string]bool{"OPTIONS": false, "GET": true} {
		if r := table.Classify(method, "any.example", "*"); r.Class != routes.None || r.AreOne() == want {
			t.Errorf("%s *: class %d, ambiguous %v", method, r.Class, !r.AreOne())
		}
	}
}

func TestClassify_methodAndHost(t *testing.T) {
	table := tableOf(t, "POST /signup", "news.example.com/today")
	for request, want := range map[[3]string]bool{
		{"POST", "any.example", "//signup"}:     true,
		{"GET", "any.example", "//signup"}:      false,
		{"GET", "news.example.com", "/./today"}: true,
		{"GET", "any.example", "/./today"}:      false,
		// The host of who makes a URL of the target.
		{"GET", "any.example", "//news.example.com/today"}:           true,
		{"GET", "any.example", `/\NEWS.example.com:80/today`}:        true,
		{"GET", "any.example", "/%2fme@news.example.com/x/../today"}: true,
		{"GET", "any.example", "//news.example.com/tomorrow"}:        false,
		{"post", "any.example", "/signup"}:                           true, // C9: Flask and Django
		{"Post", "any.example", "/x"}:                                false,
		{"get", "any.example", "/signup"}:                            false,
		{"\u017foO", "any.example", "/signup"}:                       false,
	} {
		if r := table.Classify(request[0], request[1], request[2]); r.AreOne() == want {
			t.Errorf("%v: ambiguous %v", request, !r.AreOne())
		}
	}
}

// Normalizations written for clarity, to hold those of the package against.
var naiveNormalizations = []func(path string) string{
	func(path string) string { return strings.ReplaceAll(path, `\`, "/") },
	func(path string) string { return regexp.MustCompile(`;[^/]*`).ReplaceAllString(path, "") },
	func(path string) string { return regexp.MustCompile(`/+`).ReplaceAllString(path, "/") },
	func(dirty string) string {
		clean := path.Clean(dirty)
		if strings.HasSuffix(dirty, "/") && clean != "/" {
			clean += "/"
		}
		return clean
	},
	func(path string) string { return regexp.MustCompile(`(?s)[?#].*`).ReplaceAllString(path, "") },
	func(path string) string { return strings.NewReplacer("\t", "", "\r", "", "\n", "").Replace(path) },
	func(path string) string { return regexp.MustCompile(`[\x00-\x20]+$`).ReplaceAllString(path, "") },
	func(path string) string {
		if parts := regexp.MustCompile(`(?s)^//+[^/]+(.*)$`).FindStringSubmatch(path); parts != nil {
			return cmp.Or(parts[1], "/")
		}
		return path
	},
	func(path string) string {
		return (&url.URL{Path: "/"}).ResolveReference(&url.URL{Path: path}).Path
	},
}

// naiveReadings returns what a path becomes by up to depth normalizations, as paths in
// which each segment is escaped.
func naiveReadings(path string, decoded, depth int, into map[string]bool) {
	if decoded == 0 {
		into[path] = true
	} else {
		segments := strings.Split(path, "/")
		for i, segment := range segments {
			segments[i] = url.PathEscape(segment)
		}
		into[strings.Join(segments, "/")] = true
	}
	if depth == 0 {
		return
	}
	for _, normalize := range naiveNormalizations {
		if next := normalize(path); next != path {
			naiveReadings(next, decoded, depth-1, into)
		}
	}
	if next, err := url.PathUnescape(path); err == nil && next != path && decoded < 2 {
		naiveReadings(next, decoded+1, depth-1, into)
	}
}

// A request that isn't ambiguous is of the same class for every reader, and
// for ServeMux.
func FuzzClassify(f *testing.F) {
	table := tableOf(f, service...)
	mux := http.NewServeMux()
	register(mux, service...)
	f.Fuzz(func(t *testing.T, method, path string) {
		if len(path) > 64 {
			t.Skip("the naive readings take too long")
		}
		r := table.Classify(method, "any.example", path)
		class, ambiguous := r.Class, !r.AreOne()
		if class != table.Match(method, "any.example", path) {
			t.Errorf("Match and Classify differ on %q", path)
		}
		if request := requestFor(path); request != nil && request.URL.EscapedPath() == path {
			handler, pattern := mux.Handler(request)
			if !redirects(handler, request) && pattern != patternOf(class) {
				t.Errorf("%q is of class %d, but ServeMux finds %q", path, class, pattern)
			}
		}
		if ambiguous || path == "" || path == "*" {
			return
		}
		readings := map[string]bool{}
		naiveReadings(path, 0, 4, readings)
		for reading := range readings {
			if other := table.Match(method, "any.example", reading); other != class {
				t.Errorf("%q is of class %d and not ambiguous, but %q is of class %d", path, class, reading, other)
			}
		}
	})
}

func requestFor(path string) *http.Request {
	u, err := url.ParseRequestURI(path)
	if err != nil || u.Host != "" || u.Scheme != "" {
		return nil
	}
	request := httptest.NewRequest("GET", "/", nil)
	request.URL = u
	return request
}

func patternOf(class routes.Class) string {
	if class == routes.None {
		return ""
	}
	return service[class-1]
}
