package messenger

import (
	"crypto/rand"
	"net/http"
	"slices"
)

// cookieName names the cookie with the account's key. The key is all that an
// account has: a real app would have passwords, and lose them.
const cookieName = "messenger-key"

// signUp creates an account for the form field name and answers with its key.
func (a *App) signUp(w http.ResponseWriter, r *http.Request) {
	name, ok := formValue(w, r, "name", maxName)
	if !ok {
		return
	}
	key := rand.Text()
	if !a.addAccount(key, name) {
		http.Error(w, "This name is taken, or there are too many accounts.", http.StatusConflict)
		return
	}
	setKey(w, r, key)
	writeJSON(w, http.StatusCreated, map[string]string{"name": name, "key": key})
}

func (a *App) addAccount(key, name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.accounts) >= maxAccounts {
		return false
	}
	for _, taken := range a.accounts {
		if taken == name {
			return false
		}
	}
	a.accounts[key] = name
	return true
}

// signIn sets the cookie for the form field key.
func (a *App) signIn(w http.ResponseWriter, r *http.Request) {
	key, ok := formValue(w, r, "key", maxName)
	if !ok {
		return
	}
	name := a.nameOf(key)
	if name == "" {
		http.Error(w, "No account has this key.", http.StatusUnauthorized)
		return
	}
	setKey(w, r, key)
	writeJSON(w, http.StatusOK, map[string]string{"name": name})
}

func setKey(w http.ResponseWriter, r *http.Request, key string) {
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: key, Path: "/",
		HttpOnly: true,
		Secure:   r.Header.Get("X-Forwarded-Proto") == "https",
		SameSite: http.SameSiteStrictMode, // the WebSocket relies on it
	})
}

func (a *App) nameOf(key string) string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.accounts[key]
}

// account returns the key and name that the request is signed in with, else "".
func (a *App) account(r *http.Request) (key, name string) {
	if c, err := r.Cookie(cookieName); err == nil {
		return c.Value, a.nameOf(c.Value)
	}
	return "", ""
}

// signedIn lets only requests of an account through to next.
func (a *App) signedIn(next func(w http.ResponseWriter, key, name string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if key, name := a.account(r); name != "" {
			next(w, key, name)
			return
		}
		http.Error(w, "Sign in first.", http.StatusUnauthorized)
	}
}

// export answers with all that the app knows of the account.
func (a *App) export(w http.ResponseWriter, _, name string) {
	own := slices.DeleteFunc(a.recent(), func(m Message) bool { return m.From != name })
	w.Header().Set("Content-Disposition", `attachment; filename="messenger.json"`)
	writeJSON(w, http.StatusOK, map[string]any{"name": name, "messages": own})
}

// deleteAccount forgets the account and its messages.
func (a *App) deleteAccount(w http.ResponseWriter, key, name string) {
	a.mu.Lock()
	delete(a.accounts, key)
	a.messages = slices.DeleteFunc(a.messages, func(m Message) bool { return m.From == name })
	a.mu.Unlock()
	w.WriteHeader(http.StatusNoContent)
}
