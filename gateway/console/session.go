package console

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/exitgate/exitgate/policy/changes"
)

// For how long.
const (
	idleTime   = time.Hour      // until somebody who does nothing is signed out
	signedIn   = 12 * time.Hour // until anybody is
	linkTime   = time.Minute    // until a link signs nobody in any more
	maxSession = 1000
	maxLinks   = 1000
	// Of one name, so that nobody signs others out.
	maxSessionOf = 50
	maxLinksOf   = 10
	// Pages that are open.
	maxStreams   = 1000
	maxStreamsOf = 100
)

// sessions are who is signed in. They are in memory only: a restart signs all out. They
// are safe for concurrent use.
type sessions struct {
	now func() time.Time

	mu       sync.Mutex
	byCookie map[[sha256.Size]byte]*session // by what a cookie hashes to
	links    map[[sha256.Size]byte]link
	streams  map[string]int // pages that are open, by name
}

type session struct {
	identity    Identity
	name        string // for signing out everywhere
	token       string // that forms have to send
	began, used time.Time
}

type link struct {
	identity Identity
	name     string
	ends     time.Time
}

func newSessions(now func() time.Time) *sessions {
	return &sessions{now: now, byCookie: map[[sha256.Size]byte]*session{}, links: map[[sha256.Size]byte]link{}, streams: map[string]int{}}
}

// NewLink returns where somebody is signed in, once, and until when.
func (c *Console) NewLink(id Identity) (target string, ends time.Time) {
	s := c.sessions
	code := rand.Text()
	by, _ := id()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	maps.DeleteFunc(s.links, func(_ [sha256.Size]byte, l link) bool { return !l.ends.After(now) })
	age := func(l link) time.Time { return l.ends }
	dropOldest(s.links, maxLinksOf, func(l link) bool { return l.name == by.Name }, age)
	dropOldest(s.links, maxLinks, func(link) bool { return true }, age)
	ends = now.Add(linkTime)
	s.links[sha256.Sum256([]byte(code))] = link{id, by.Name, ends}
	return "/sign-in?" + url.Values{"link": {code}}.Encode(), ends
}

// peek returns whom a link would sign in.
func (s *sessions) peek(code string) (by changes.Actor, known bool) {
	s.mu.Lock()
	l, found := s.links[sha256.Sum256([]byte(code))]
	s.mu.Unlock()
	if !found || !l.ends.After(s.now()) {
		return by, false
	}
	return l.identity()
}

// take returns whose a link is, and ends it.
func (s *sessions) take(code string) (Identity, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hash := sha256.Sum256([]byte(code))
	l, found := s.links[hash]
	delete(s.links, hash)
	return l.identity, found && l.ends.After(s.now())
}

// begin signs somebody in, and returns what the cookie has. The session is always a
// new one: nobody can have known it before.
func (s *sessions) begin(id Identity, by changes.Actor) (cookie string) {
	cookie = rand.Text() + rand.Text()
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.now()
	maps.DeleteFunc(s.byCookie, func(_ [sha256.Size]byte, other *session) bool { return other.ended(now) })
	age := func(one *session) time.Time { return one.used }
	dropOldest(s.byCookie, maxSessionOf, func(one *session) bool { return one.name == by.Name }, age)
	dropOldest(s.byCookie, maxSession, func(*session) bool { return true }, age)
	s.byCookie[sha256.Sum256([]byte(cookie))] = &session{identity: id, name: by.Name, token: rand.Text(), began: now, used: now}
	return cookie
}

// beginStream counts a page that follows what happens, until end is called. It isn't ok if
// somebody has too many, or all have.
func (s *sessions) beginStream(name string) (end func(), ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := 0
	for _, n := range s.streams {
		all += n
	}
	if all >= maxStreams || s.streams[name] >= maxStreamsOf {
		return nil, false
	}
	s.streams[name]++
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.streams[name]--; s.streams[name] == 0 {
			delete(s.streams, name)
		}
	}, true
}

// dropOldest makes room for one more among those that count, if there are as many as there
// may be.
func dropOldest[V any](all map[[sha256.Size]byte]V, most int, counts func(V) bool, age func(V) time.Time) {
	var oldest [sha256.Size]byte
	var since time.Time
	n := 0
	for hash, one := range all {
		if !counts(one) {
			continue
		}
		if n++; since.IsZero() || age(one).Before(since) {
			oldest, since = hash, age(one)
		}
	}
	if n >= most {
		delete(all, oldest)
	}
}

func (s *session) ended(now time.Time) bool {
	return now.Sub(s.used) > idleTime || now.Sub(s.began) > signedIn
}

// hasToken reports whether a form is of a page of this session.
func (s *session) hasToken(token string) bool {
	return subtle.ConstantTimeCompare([]byte(s.token), []byte(token)) == 1
}

// of returns whose request it is. What a page asks for by itself, a stream, is no sign
// that somebody is there.
func (s *sessions) of(r *http.Request) (of *session, by changes.Actor, known bool) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return nil, by, false
	}
	hash, now := sha256.Sum256([]byte(cookie.Value)), s.now()
	s.mu.Lock()
	of, found := s.byCookie[hash]
	switch {
	case found && of.ended(now):
		delete(s.byCookie, hash)
		found = false
	case found && r.URL.Path != livePath:
		of.used = now
	}
	s.mu.Unlock()
	if !found {
		return nil, by, false
	}
	if by, known = of.identity(); !known || len(by.Roles) == 0 {
		return nil, by, false
	}
	return of, by, true
}

// end signs a session out, or all of a name.
func (s *sessions) end(one *session, everywhere bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for hash, other := range s.byCookie {
		if other == one || everywhere && other.name == one.name {
			delete(s.byCookie, hash)
		}
	}
}

// count returns how many sessions somebody has.
func (s *sessions) count(name string) (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, one := range s.byCookie {
		if one.name == name && !one.ended(s.now()) {
			n++
		}
	}
	return n
}

// cookieName is that of the session's cookie. Over TLS its prefix binds it to this host,
// and to HTTPS (RFC 6265bis, section 4.1.3.2); loopback has none to be bound to.
func cookieName(r *http.Request) string {
	if r.TLS != nil {
		return "__Host-exitgate"
	}
	return "exitgate"
}

func setCookie(w http.ResponseWriter, r *http.Request, value string, age time.Duration) {
	seconds := int(age.Seconds())
	if value == "" {
		seconds = -1
	}
	http.SetCookie(w, &http.Cookie{Name: cookieName(r), Value: value, Path: "/", MaxAge: seconds, Secure: r.TLS != nil, HttpOnly: true, SameSite: http.SameSiteLaxMode})
}

// A signInPage is what the page for signing in shows.
type signInPage struct {
	Link, Name string // of a link, and whom it signs in
	Next       string // the page to go to
	Wrong      string
}

// askToSignIn sends somebody who isn't signed in to where they can be.
func (c *Console) askToSignIn(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodGet && r.URL.Path != livePath && r.Header.Get("HX-Request") == "" {
		http.Redirect(w, r, "/sign-in?"+url.Values{"next": {r.URL.RequestURI()}}.Encode(), http.StatusSeeOther)
		return
	}
	if r.URL.Path == livePath { // of a page that is open: the gateway was started again, say
		w.Header().Set("Content-Type", "text/event-stream")
		_, _ = io.WriteString(w, formatEvent("signed-out", "")) // nobody is left to tell if it fails
		return
	}
	w.Header().Set("HX-Redirect", "/sign-in")
	http.Error(w, "You are not signed in, or no longer: sign in, and do it again.", http.StatusUnauthorized)
}

// showSignIn shows how to sign in. A link only signs in who presses the button: programs
// that look at links, ahead of people, don't.
func (c *Console) showSignIn(w http.ResponseWriter, r *http.Request) {
	page := signInPage{Link: r.URL.Query().Get("link"), Next: r.URL.Query().Get("next")}
	if page.Link != "" {
		by, known := c.sessions.peek(page.Link)
		page.Name = by.Name
		if !known {
			page.Link, page.Wrong = "", "That link was used already, or is too old: a link signs in once, within a minute. Run the command again."
		}
	}
	c.showSignInPage(w, r, http.StatusOK, page)
}

func (c *Console) showSignInPage(w http.ResponseWriter, r *http.Request, status int, page signInPage) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := c.templates["sign-in"].ExecuteTemplate(w, "sign-in.html", page); err != nil && r.Context().Err() == nil {
		c.o.Log.Error("the console failed", "request", "sign-in", "error", err)
	}
}

// signIn signs somebody in by a link or a token.
func (c *Console) signIn(w http.ResponseWriter, r *http.Request) {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(formTime)) // else the server's own holds
	if err := r.ParseForm(); err != nil {
		http.Error(w, "The form did not arrive as a whole.", http.StatusBadRequest)
		return
	}
	page := signInPage{Next: r.PostForm.Get("next")}
	var id Identity
	if code := r.PostForm.Get("link"); code != "" {
		var valid bool
		if id, valid = c.sessions.take(code); !valid {
			page.Wrong = "That link was used already, or is too old: a link signs in once, within a minute. Run the command again."
			c.showSignInPage(w, r, http.StatusForbidden, page)
			return
		}
	} else {
		var err error
		if id, err = c.o.SignIn(r, strings.TrimSpace(r.PostForm.Get("token"))); err != nil {
			page.Wrong = err.Error()
			c.showSignInPage(w, r, http.StatusForbidden, page)
			return
		}
	}
	by, known := id()
	if !known || len(by.Roles) == 0 {
		page.Wrong = "You have no role here. Ask for the role viewer."
		c.showSignInPage(w, r, http.StatusForbidden, page)
		return
	}
	setCookie(w, r, c.sessions.begin(id, by), signedIn)
	http.Redirect(w, r, localPath(page.Next), http.StatusSeeOther)
}

// localPath returns a page of this console, whatever somebody has put into a link.
func localPath(target string) string {
	u, err := url.Parse(target)
	if err != nil || u.Host != "" || u.Scheme != "" || !strings.HasPrefix(target, "/") || strings.HasPrefix(target, "//") || strings.ContainsAny(target, "\\\r\n") {
		return "/"
	}
	return target
}

func (v *visit) signOut() error {
	v.console.sessions.end(v.session, v.PostForm.Get("everywhere") != "")
	setCookie(v.writer, v.Request, "", 0)
	http.Redirect(v.writer, v.Request, "/sign-in", http.StatusSeeOther)
	return nil
}

// showAccount shows who is signed in.
func (v *visit) showAccount() error {
	return v.render(http.StatusOK, "account", frame{Title: "You", Body: struct {
		Sessions int
		Ends     time.Time
	}{v.console.sessions.count(v.by.Name), v.session.began.Add(signedIn)}})
}
