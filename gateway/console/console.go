// Package console is the web console: pages by which people watch what the gateway
// does, and change it.
//
// It is a client of the admin API and of nothing else, in the same process: what a page
// does it asks it to do in the name of whoever is signed in, and what it shows is what the
// API answers to any viewer who may know as much. So whatever a page shows or does, the API
// and the command show and do, too; nobody may do more by a page, nor see more.
package console

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"html/template"
	"io/fs"
	"log/slog"
	"mime"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/policy/changes"
)

// Options are what a Console is made of.
type Options struct {
	// API answers what is below /v1/. It is asked with a context that has an Identity, see
	// IdentityOf: of whoever is signed in, or of a viewer without a name, for what many share.
	API http.Handler
	// SignIn returns who shows a token. The error says that it is nobody, or that there
	// were too many wrong ones.
	SignIn func(r *http.Request, token string) (Identity, error)
	// Events returns what happens from now on, as control.Control has it. It only says
	// when to look again: what is shown comes from the API.
	Events func(context.Context) <-chan api.Event
	// State returns what the API's answers are true of, to be compared: as long as it is
	// the same, they differ only in what time, counts and health come to.
	State func() any
	Now   func() time.Time
	Log   *slog.Logger
}

// An Identity says who somebody is, each time it is called: roles change, and tokens are
// revoked. False: nobody any more.
type Identity func() (changes.Actor, bool)

type identityKey struct{}

// IdentityOf returns in whose name the console asks the API; nil if the request isn't
// the console's.
func IdentityOf(ctx context.Context) Identity {
	id, _ := ctx.Value(identityKey{}).(Identity)
	return id
}

// A Console answers all that is not below /v1/ on the admin listener. It is safe for
// concurrent use.
type Console struct {
	o         Options
	mux       *http.ServeMux
	templates map[string]*template.Template
	assets    map[string]asset
	sessions  *sessions
	tokenMark string // stands for a session's token in what is shared; nobody knows it
	tiles     tileTexts
	lastParts atomic.Uint64 // the number of the last liveParts

	answersMu sync.Mutex
	answers   map[bool]*answers // the last ones, for counsel and for others
}

//go:embed assets pages
var files embed.FS

// An asset is a file that pages need, sent as it is.
type asset struct {
	media string
	text  []byte
	tag   string
}

// New returns a Console.
func New(o Options) *Console {
	c := &Console{o: o, mux: http.NewServeMux(), templates: map[string]*template.Template{}, assets: map[string]asset{}, sessions: newSessions(o.Now), tokenMark: rand.Text(), answers: map[bool]*answers{}}
	c.readFiles()
	c.mux.HandleFunc("GET /assets/{name}", c.sendAsset)
	c.mux.HandleFunc("GET /sign-in", c.showSignIn)
	c.mux.HandleFunc("POST /sign-in", c.signIn)
	c.page("POST /sign-out", (*visit).signOut)
	c.page("GET /live", (*visit).stream)
	c.page("GET /{$}", (*visit).showFollowed)
	c.page("GET /markets/{code}", (*visit).showFollowed)
	c.page("GET /markets/{code}/change", (*visit).showChange)
	c.page("POST /markets/{code}/change", (*visit).showChange)
	c.page("GET /markets/{code}/evidence", (*visit).sendEvidence)
	c.page("POST /markets/{code}/probe", (*visit).showProbes)
	c.page("GET /emergency", (*visit).showEmergency)
	c.page("POST /emergency", (*visit).showEmergency)
	c.page("GET /changes", (*visit).showFollowed)
	c.page("POST /changes/{number}/approval", (*visit).approve)
	c.page("POST /changes/{number}/rejection", (*visit).reject)
	c.page("GET /demands", (*visit).showDemands)
	c.page("POST /demands", (*visit).showDemands)
	c.page("GET /explain", (*visit).showExplain)
	c.page("GET /log", (*visit).showLog)
	c.page("GET /log/verification", (*visit).verifyLog)
	c.page("GET /revisions/{number}", (*visit).showRevision)
	c.page("GET /revisions/{number}/restore", (*visit).showRestore)
	c.page("POST /revisions/{number}/restore", (*visit).showRestore)
	c.page("GET /account", (*visit).showAccount)
	c.page("/", func(v *visit) error { return problem(http.StatusNotFound, "There is no such page.", "") })
	return c
}

// readFiles reads what is embedded.
func (c *Console) readFiles() {
	base := template.Must(template.New("").Funcs(functions).ParseFS(files, "pages/frame.html", "pages/parts.html"))
	pages, err := fs.Glob(files, "pages/*.html")
	if err != nil {
		panic(err) // the pattern is right
	}
	for _, name := range pages {
		page := strings.TrimSuffix(path.Base(name), ".html")
		c.templates[page] = template.Must(template.Must(base.Clone()).ParseFS(files, name))
	}
	entries, err := fs.ReadDir(files, "assets")
	if err != nil {
		panic(err) // it is embedded
	}
	for _, e := range entries {
		text, err := fs.ReadFile(files, "assets/"+e.Name())
		if err != nil {
			panic(err)
		}
		c.addAsset(e.Name(), text)
	}
	// One script: htmx begins as soon as it is read, and has to know its extension by then.
	c.addAsset("script.js", slices.Concat(c.assets["htmx.js"].text, []byte(";\n"), c.assets["hx-sse.js"].text, []byte(";\n"), c.assets["console.js"].text))
}

func (c *Console) addAsset(name string, text []byte) {
	sum := sha256.Sum256(text)
	c.assets[name] = asset{cmp.Or(mime.TypeByExtension(path.Ext(name)), "text/plain; charset=utf-8"), text, hex.EncodeToString(sum[:8])}
}

// contentPolicy is what a browser may do on a page: nothing from elsewhere, and no
// script or style that stands in a page.
const contentPolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", contentPolicy)
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Referrer-Policy", "same-origin")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	c.mux.ServeHTTP(w, r)
}

func (c *Console) sendAsset(w http.ResponseWriter, r *http.Request) {
	a, found := c.assets[r.PathValue("name")]
	if !found {
		http.NotFound(w, r)
		return
	}
	h := w.Header()
	h.Set("Cache-Control", "private, max-age=3600")
	h.Set("ETag", `"`+a.tag+`"`)
	if r.Header.Get("If-None-Match") == `"`+a.tag+`"` {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	h.Set("Content-Type", a.media)
	_, _ = w.Write(a.text) // the client went away
}

// maxForm is how long what a form sends may be: a policy is not among it.
const maxForm = 64 << 10

// page answers a pattern for who is signed in. Others are sent to sign in; what would
// change something has to have the session's own token, beside its cookie.
func (c *Console) page(pattern string, show func(*visit) error) {
	c.mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) {
		s, by, known := c.sessions.of(r)
		if !known {
			c.askToSignIn(w, r)
			return
		}
		v := &visit{Request: r, console: c, writer: w, session: s, by: by}
		err := v.checkForm()
		if err == nil {
			err = show(v)
		}
		if err != nil {
			v.fail(err)
		}
	})
}

// A visit is a request by somebody who is signed in.
type visit struct {
	*http.Request
	console *Console
	writer  http.ResponseWriter
	session *session
	by      changes.Actor
}

// checkForm reads a form, and refuses one that isn't of a page of this session: another
// site may have made the browser send it.
func (v *visit) checkForm() error {
	if v.Method != http.MethodPost {
		return nil
	}
	_ = http.NewResponseController(v.writer).SetReadDeadline(time.Now().Add(formTime)) // else the server's own holds
	v.Body = http.MaxBytesReader(v.writer, v.Body, maxForm)
	if err := v.ParseForm(); err != nil {
		return problem(http.StatusBadRequest, "The form did not arrive as a whole, or is too long.", "Go back, and send it again.")
	}
	for _, values := range v.PostForm { // browsers send a text's lines with carriage returns
		for i := range values {
			values[i] = strings.ReplaceAll(values[i], "\r\n", "\n")
		}
	}
	if !v.session.hasToken(v.PostForm.Get("csrf")) {
		return problem(http.StatusForbidden, "The form is not of a page of this session.", "Open the page again, and send it from there.")
	}
	return nil
}

const formTime = 10 * time.Second

// problem returns an error for a page.
func problem(status int, detail, advice string) error {
	return &api.Problem{Title: http.StatusText(status), Status: status, Detail: detail, Advice: advice}
}

// asProblem returns what an error says to people.
func asProblem(err error) *api.Problem {
	if p, ok := errors.AsType[*api.Problem](err); ok {
		return p
	}
	return &api.Problem{Title: http.StatusText(http.StatusInternalServerError), Status: http.StatusInternalServerError, Detail: "The console failed.", Advice: "The gateway's log says why."}
}

// fail shows what is wrong in place of a page.
func (v *visit) fail(err error) {
	if v.Context().Err() != nil {
		return
	}
	p := asProblem(err)
	if p.Status >= http.StatusInternalServerError {
		v.console.o.Log.Error("the console failed", "request", v.Pattern, "error", err)
	}
	if shown := v.render(p.Status, "problem", frame{Title: p.Title, Body: p}); shown != nil {
		http.Error(v.writer, p.Detail, p.Status)
	}
}
