//go:build integration

package gateway_test

import (
	"bufio"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/testkit"
)

// A framework is an app that answers how it reads a request, a line for each of
// its ways: "POST /signup".
type framework struct {
	command []string // PORT stands for the port, FOLDER for one that it may write to
	needs   string   // a folder that must be there, "" for none
	copy    string   // a folder of testdata/frameworks whose files, with the port in them, are in FOLDER
	// fooled are tricks that it falls for by itself: else a test that it never
	// does behind the gateway would say little.
	fooled []string
}

var frameworks = map[string]framework{
	"Flask":  {command: []string{"/usr/bin/python3", "flask_app.py", "PORT"}, fooled: []string{"post /signup"}},
	"Django": {command: []string{"/usr/bin/python3", "django_app.py", "PORT"}, fooled: []string{"post /signup"}},
	"gunicorn": {command: []string{"gunicorn", "--bind", "127.0.0.1:PORT", "--worker-tmp-dir", "FOLDER", "flask_app:app"},
		fooled: []string{"POST /x/signup with SCRIPT_NAME: /x", "POST /.well-known/acme-challenge/signup with SCRIPT_NAME: /.well-known/acme-challenge"}},
	"Node":    {command: []string{"node", "node_app.mjs", "PORT"}, fooled: []string{"POST //x/signup", "POST ///x/signup", "POST /a/.%09./signup", "POST /signup%20", "POST /a/../signup"}},
	"Express": {command: []string{"node", "express_app.mjs", "PORT"}, needs: "node_modules", fooled: []string{"POST /account?_method=delete", "POST /account with X-HTTP-Method-Override: DELETE, GET"}},
	"PHP":     {command: []string{"php", "-S", "127.0.0.1:PORT", "php_app.php"}, fooled: []string{"POST //x/signup", "POST /account?.method=DELETE", "POST /account with X_HTTP_Method_Override: delete", "POST /index.php/signup", "POST /a/index.%70hp/signup"}},
	"Rack":    {command: []string{"puma", "--quiet", "--bind", "tcp://127.0.0.1:PORT", "rack_app.ru"}, fooled: []string{"POST /account with X_HTTP_Method_Override: DELETE"}},
	"Tomcat": {
		command: []string{"java", "-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xmx64m", "-Djava.io.tmpdir=FOLDER", "-Dcatalina.home=/usr/share/tomcat10", "-Dcatalina.base=FOLDER",
			"-cp", "/usr/share/tomcat10/bin/bootstrap.jar:/usr/share/tomcat10/bin/tomcat-juli.jar", "org.apache.catalina.startup.Bootstrap", "start"},
		needs: "/usr/share/tomcat10/bin", copy: "tomcat",
		fooled: []string{
			"POST /signup;jsessionid=0A", "POST /a/..;/signup", "POST /a/..;x=y/signup", "POST /a/%2e%2e;x/signup", "POST /a/%2E.;/signup", "POST /;a/signup", "POST /a//..;//signup",
			"POST /signup;a=b/..;c/signup", "POST /a%2F..%2Fsignup", "POST /a/b/..;/..;/signup", "POST /a;b/..;c/signup", "POST /.;/signup", "POST /a/%2e%2e/signup",
			"POST /%5csignup", "POST /a%5c..%5csignup", "POST /a/b%2F..%2F..;/signup", "POST /signup/.;", "POST /signup;%2F", "POST /;/;/signup;",
		},
	},
	"nginx": {command: []string{"nginx", "-e", "stderr", "-p", "FOLDER", "-c", "nginx.conf"}, copy: "nginx", fooled: []string{"POST //signup", "POST /a/../signup", "POST /a%2F..%2Fsignup"}},
}

// tricks are requests that some reader may take for one that is refused.
var tricks = []string{
	"POST /signup", "post /signup", "Post /signup", "POST /sign%75p", "POST //signup", "POST //x/signup", "POST ///x/signup", `POST /\x/signup`,
	"POST /%2fx/signup", "POST /a/../signup", "POST /a/.%09./signup", "POST /a/.%0a./signup", "POST /a/%2e%2e/signup", "POST /a%2F..%2Fsignup",
	"POST /a/%252e%252e/signup", "POST /signup;a=b", "POST /signup/", "POST /signup%20", "POST /signup%09", "POST /a/..;%5csignup", "POST /a%2F..;%2Fsignup", "POST /signup%00", "POST /signup%3Fa", "POST /signup%23a",
	"POST /sign%09up", `POST /a\..\signup`, "POST /./signup", "POST http://app.example/signup", "POST http://other.example/signup",
	"POST /signup?_method=GET", "GET /signup?_method=POST", "PUT /signup?_method=post", "GET /signup?%5Fmethod=POST", "GET /signup?.method=POST",
	"GET /signup with X-HTTP-Method-Override: POST", "PUT /signup with X-HTTP-Method-Override: post", "PUT /signup with X_HTTP_Method_Override: POST",
	"POST /account?_method=DELETE", "POST /account?%5Fmethod=DELETE", "POST /account?+[method=DELETE", "POST /account?_method%00=DELETE", "delete /account",
	"POST /account with X-HTTP-Method-Override: DELETE", "POST /account with X-HTTP-Method-Override: GET, DELETE", "POST /account with X-Method-Override: delete",
	"PUT /signup with X-HTTP-Method-Override: POST, GET", "PUT /signup with X-HTTP-Method-Override: GET, POST", "PUT /signup with X-Http-Method: POST",
	"POST /x/signup with SCRIPT_NAME: /x", "POST /x/signup with Script-Name: /x", "POST /x/signup with X-Script-Name: /x", "POST /x with PATH_INFO: /signup",
	"POST /index.php/signup", "POST /a/Index.PHP/signup", "POST /index.php/x/../signup", "POST /account?X-HTTP-Method-Override=DELETE",
	"POST /signup with X-Original-URL: /x", "POST /x with X-Original-URL: /signup", "POST /x with X-Rewrite-URL: /signup",
}

// C9: whatever an app reads as a request that is refused is never forwarded.
func TestNoFrameworkReadsARefusedRequestInWhatIsForwarded(t *testing.T) {
	for name, f := range frameworks {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			address := f.start(t)
			g := start(t, setup{
				policy:    "version: 1\nroutes: {sign-up: [POST /signup, DELETE /account]}\njurisdictions: {DE: closed-to-new}\n",
				upstreams: []string{"http://" + address},
			})
			plain, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			if status, readings := ask(t, plain, trickText("GET /some/page")); status != 200 || !slices.Contains(readings, "GET /some/page") {
				t.Fatalf("a plain request gets %d, and is read as %q", status, readings)
			}
			for _, trick := range slices.Concat(f.fooled, tricks, drawnTricks()) {
				direct, err := net.Dial("tcp", address)
				if err != nil {
					t.Fatal(err)
				}
				_, alone := ask(t, direct, trickText(trick))
				if slices.Contains(f.fooled, trick) && !slices.ContainsFunc(alone, isRefused) {
					t.Errorf("%s is read as %q: is it still worth testing?", trick, alone)
				}
				c, _ := g.dial()
				if status, readings := ask(t, c, trickText(trick)); status == 200 && slices.ContainsFunc(readings, isRefused) {
					t.Errorf("%s is forwarded, and read as %q", trick, readings)
				}
			}
		})
	}
}

// drawnTricks are paths made of what readers take for something else, drawn alike
// each time unless EXITGATE_TEST_TRICKS says how many to draw.
func drawnTricks() (tricks []string) {
	parts := []string{
		"/", "/", "/", "a", "signup", "signup", "..", ".", ";", ";x=y", ";jsessionid=0A", "%2e", "%2E%2e", "%2F", "%2f", "%5c", "\\", "%3b", "%3B", "%25", "%252e", "%252F",
		"%09", "%00", "%20", "%3F", "%23", "?", "?a", "%", "%zz", "%c0%af", "+", "%73ignup", "sign%75p", ":", "@",
	}
	n, draw := 300, rand.New(rand.NewPCG(451, 10))
	if text := os.Getenv("EXITGATE_TEST_TRICKS"); text != "" {
		fmt.Sscan(text, &n)
		draw = rand.New(rand.NewPCG(rand.Uint64(), rand.Uint64()))
	}
	for range n {
		target := "/"
		for range 1 + draw.IntN(8) {
			target += parts[draw.IntN(len(parts))]
		}
		tricks = append(tricks, "POST "+target, "POST "+target+"/signup")
	}
	return tricks
}

// isRefused reports whether a reading is of the class that is refused.
func isRefused(reading string) bool {
	method, path, _ := strings.Cut(reading, " ")
	method = strings.ToUpper(method)
	return method == "POST" && path == "/signup" || method == "DELETE" && path == "/account"
}

// start starts the framework and returns where it listens.
func (f framework) start(t *testing.T) string {
	t.Helper()
	folder, err := filepath.Abs("testdata/frameworks")
	if err != nil {
		t.Fatal(err)
	}
	needed := f.needs
	if !filepath.IsAbs(needed) {
		needed = filepath.Join(folder, needed)
	}
	if _, err := os.Stat(needed); err != nil {
		missing(t)("%s is missing: run npm ci in %s, or install the package", needed, folder)
	}
	port := strconv.Itoa(testkit.FreePort(t))
	address := "127.0.0.1:" + port

	scratch := t.TempDir()
	if f.copy != "" {
		copyWithPort(t, scratch, filepath.Join(folder, f.copy), port)
	}
	command := f.command[:1:1]
	for _, a := range f.command[1:] {
		command = append(command, strings.NewReplacer("PORT", port, "FOLDER", scratch).Replace(a))
	}
	runApp(t, folder, address, command)
	return address
}

// copyWithPort copies files, with the port in the place of PORT.
func copyWithPort(t *testing.T, to, from, port string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"nginx.conf", "conf/server.xml"} {
		if text, err := os.ReadFile(filepath.Join(to, name)); err == nil {
			testkit.WriteFile(t, filepath.Join(to, name), strings.ReplaceAll(string(text), "PORT", port))
		}
	}
}

// missing returns what to do about something that isn't installed.
func missing(t *testing.T) func(format string, args ...any) {
	if os.Getenv("CI") != "" {
		return t.Fatalf
	}
	return t.Skipf
}

// runApp runs a program in a folder until the test ends, and returns when it listens
// at an address.
func runApp(t *testing.T, folder, address string, command []string) {
	t.Helper()
	if _, err := exec.LookPath(command[0]); err != nil {
		missing(t)("%s is not installed", command[0])
	}
	out := new(testkit.Buffer)
	c := exec.CommandContext(t.Context(), command[0], command[1:]...)
	c.Dir, c.Stdout, c.Stderr, c.WaitDelay = folder, out, out, time.Second
	c.Cancel = func() error { return c.Process.Signal(os.Interrupt) } // an nginx's workers end, too
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Wait()
		if t.Failed() {
			t.Logf("%s said:\n%s", command[0], out)
		}
	})
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if c, err := net.Dial("tcp", address); err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatalf("it doesn't listen: %s", out)
		}
	}
}

// trickText returns a trick as bytes of HTTP/1.1.
func trickText(trick string) string {
	line, field, _ := strings.Cut(trick, " with ")
	head := line + " HTTP/1.1\r\nHost: " + host + "\r\nX-Forwarded-For: " + germany + "\r\nContent-Length: 0\r\nConnection: close\r\n"
	if field != "" {
		head += field + "\r\n"
	}
	return head + "\r\n"
}

// ask sends a request and returns the lines of the answer.
func ask(t *testing.T, c net.Conn, request string) (status int, readings []string) {
	t.Helper()
	defer c.Close()
	c.SetDeadline(time.Now().Add(patience))
	if _, err := io.WriteString(c, request); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	if err != nil {
		return 0, []string{fmt.Sprint("no answer: ", err)}
	}
	a, _ := read(res)
	return a.status, strings.Split(strings.TrimRight(a.body, "\n"), "\n")
}
