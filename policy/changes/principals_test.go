package changes_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/policy/changes"
)

func named(name string, roles ...changes.Role) changes.Principal {
	return changes.Principal{Name: name, Roles: roles}
}

func TestSetPrincipal(t *testing.T) {
	sets := func(p changes.Principal) func(*world) error {
		return func(w *world) error { return w.sets(w.root(), p) }
	}
	ada := changes.Principal{Name: "ada", Roles: []changes.Role{changes.Operator}, User: "ada", Certificate: "spiffe://example.org/ada"}
	after := func(do func(*world) error) func(*world) error {
		return func(w *world) error { w.must(w.sets(w.root(), ada)); return do(w) }
	}
	check(t, rules, []step{
		{"over the socket", sets(ada), "writes principal"},
		{"not over the network, whatever the role", func(w *world) error {
			return w.sets(changes.Actor{Name: "eve", Roles: []changes.Role{changes.Viewer, changes.Operator, changes.Approver}}, ada)
		}, "forbidden"},
		{"not without a reason", func(w *world) error {
			return w.write(w.s.SetPrincipal(w.root(), ada, "", changes.Request{}, w.now))
		}, "invalid"},

		{"a name may be an address", sets(named("ada.lovelace_1@example-1.org", changes.Viewer)), "writes principal"},
		{"or a digit", sets(named("7", changes.Viewer)), "writes principal"},
		{"or 64 letters", sets(named(strings.Repeat("a", 64), changes.Viewer)), "writes principal"},
		{"not 65", sets(named(strings.Repeat("a", 65), changes.Viewer)), "invalid"},
		{"not none", sets(named("", changes.Viewer)), "invalid"},
		{"not the one that the gateway writes under", sets(named("exitgate", changes.Viewer)), "invalid"},
		{"not nobody", sets(named("nobody", changes.Viewer)), "invalid"},
		{"not that of a local user", sets(named("unix:root", changes.Viewer)), "invalid"},
		{"not in capitals", sets(named("Ada", changes.Viewer)), "invalid"},
		{"not on two lines", sets(named("ada\n", changes.Viewer)), "invalid"},
		{"not a dot first", sets(named(".ada", changes.Viewer)), "invalid"},
		{"not with other letters", sets(named("zoë", changes.Viewer)), "invalid"},

		{"not without a role", sets(named("ada")), "invalid"},
		{"not with a role that there isn't", sets(named("ada", changes.Viewer, "root")), "invalid"},
		{"not with a user of a line", sets(changes.Principal{Name: "x", Roles: ada.Roles, User: "a\n"}), "invalid"},
		{"not with a user of any length", sets(changes.Principal{Name: "x", Roles: ada.Roles, User: strings.Repeat("x", 257)}), "invalid"},
		{"not with a certificate of any length", sets(changes.Principal{Name: "x", Roles: ada.Roles, Certificate: strings.Repeat("x", 1025)}), "invalid"},

		{"what is so already", after(sets(ada)), "no-change"},
		{"another role", after(sets(changes.Principal{Name: "ada", Roles: []changes.Role{changes.Viewer}, User: ada.User, Certificate: ada.Certificate})), "writes principal"},
		{"not a user who is somebody else", after(sets(changes.Principal{Name: "x", Roles: ada.Roles, User: "ada"})), "invalid"},
		{"not a certificate that is somebody else's", after(sets(changes.Principal{Name: "x", Roles: ada.Roles, Certificate: ada.Certificate})), "invalid"},
		{"two without user and certificate", func(w *world) error {
			w.must(w.sets(w.root(), named("a", changes.Viewer)))
			return w.sets(w.root(), named("b", changes.Viewer))
		}, "writes principal"},
		{"a thousand", func(w *world) error { populate(w, changes.MaxPrincipals-1); return w.sets(w.root(), ada) }, "writes principal"},
		{"not more", func(w *world) error { populate(w, changes.MaxPrincipals); return w.sets(w.root(), ada) }, "invalid"},

		{"is removed", after(func(w *world) error { return w.removes(w.root(), "ada") }), "writes principal-removed"},
		{"isn't removed over the network", after(func(w *world) error { return w.removes(both, "ada") }), "forbidden"},
		{"isn't removed if nobody is there", func(w *world) error { return w.removes(w.root(), "ada") }, "not-found"},
	})

	w := begun(t, rules)
	w.must(w.sets(w.root(), named("zoe", changes.Approver, changes.Viewer, changes.Approver)))
	w.must(w.sets(w.root(), named("ada", changes.Operator)))
	equal(t, w.s.Principals(), []changes.Principal{named("ada", changes.Operator), named("zoe", changes.Viewer, changes.Approver)})
	w.must(w.removes(w.root(), "zoe"))
	equal(t, w.s.Principals(), []changes.Principal{named("ada", changes.Operator)})
}

func (w *world) removes(by changes.Actor, name string) error {
	return w.write(w.s.RemovePrincipal(by, name, "left", changes.Request{}, w.now))
}

func populate(w *world, n int) {
	for i := range n {
		w.must(w.sets(w.root(), named(fmt.Sprintf("p%03d", i), changes.Viewer)))
	}
}

// gives gives a token, the nth that is ever made.
func (w *world) gives(name string, nth byte, expires time.Time) (secret string, err error) {
	token, secret := changes.NewToken([32]byte{nth, 31: nth}, w.now, expires)
	return secret, w.write(w.s.AddToken(w.root(), name, token, "to work", changes.Request{}, w.now))
}

func TestTokens(t *testing.T) {
	token, _ := changes.NewToken([32]byte{1}, begin, time.Time{})
	add := func(by changes.Actor, name string, t changes.Token) func(*world) error {
		return func(w *world) error {
			w.must(w.sets(w.root(), named("ada", changes.Operator)))
			return w.write(w.s.AddToken(by, name, t, "to work", changes.Request{}, w.now))
		}
	}
	revoke := func(by changes.Actor, name, id string) func(*world) error {
		return func(w *world) error {
			w.must(add(w.root(), "ada", token)(w))
			return w.write(w.s.RevokeToken(by, name, id, "lost", changes.Request{}, w.now))
		}
	}
	root := changes.New(parsers).ByUser("root")
	past := token
	past.Expires = begin
	check(t, rules, []step{
		{"are given over the socket", add(root, "ada", token), "writes principal"},
		{"not over the network", add(both, "ada", token), "forbidden"},
		{"not to nobody", add(root, "eve", token), "not-found"},
		{"not if they expire at once", add(root, "ada", past), "invalid"},
		{"not if they are made otherwise", add(root, "ada", changes.Token{ID: "x", SHA256: token.SHA256}), "invalid"},
		{"not if their hash is none", add(root, "ada", changes.Token{ID: token.ID, SHA256: "secret"}), "invalid"},
		{"not twice", func(w *world) error {
			w.must(add(root, "ada", token)(w))
			return w.write(w.s.AddToken(root, "ada", token, "to work", changes.Request{}, w.now))
		}, "invalid"},
		{"not if another has the ID", func(w *world) error {
			w.must(add(root, "ada", token)(w))
			w.must(w.sets(root, named("eve", changes.Viewer)))
			return w.write(w.s.AddToken(root, "eve", token, "to work", changes.Request{}, w.now))
		}, "invalid"},
		{"not without a reason", func(w *world) error {
			w.must(w.sets(root, named("ada", changes.Operator)))
			return w.write(w.s.AddToken(root, "ada", token, " ", changes.Request{}, w.now))
		}, "invalid"},
		{"are twenty at most", func(w *world) error {
			w.must(w.sets(root, named("ada", changes.Operator)))
			for i := range changes.MaxTokens {
				_, err := w.gives("ada", byte(i), time.Time{})
				w.must(err)
			}
			_, err := w.gives("ada", 99, time.Time{})
			return err
		}, "invalid"},
		{"of which expired ones don't count", func(w *world) error {
			w.must(w.sets(root, named("ada", changes.Operator)))
			for i := range changes.MaxTokens {
				_, err := w.gives("ada", byte(i), w.now.Add(time.Hour))
				w.must(err)
			}
			w.passes(time.Hour)
			_, err := w.gives("ada", 99, time.Time{})
			return err
		}, "writes principal"},
		{"are revoked over the socket", revoke(root, "ada", token.ID), "writes principal"},
		{"not over the network", revoke(both, "ada", token.ID), "forbidden"},
		{"not from nobody", revoke(root, "eve", token.ID), "not-found"},
		{"not if there is none", revoke(root, "ada", "x"), "not-found"},
	})
}

func TestWhoHasATokenIsItsPrincipal(t *testing.T) {
	w := begun(t, rules)
	w.must(w.sets(w.root(), named("ada", changes.Operator)))
	w.must(w.sets(w.root(), named("bob", changes.Approver)))
	lasting, err := w.gives("ada", 1, time.Time{})
	w.must(err)
	brief, err := w.gives("ada", 2, w.now.Add(time.Hour))
	w.must(err)
	bobs, err := w.gives("bob", 3, time.Time{})
	w.must(err)

	who := func(secret string) string {
		a, ok := w.s.ByToken(secret, w.now)
		if !ok {
			return "nobody"
		}
		return fmt.Sprintf("%s %v %v", a.Name, a.Roles, a.Local)
	}
	is := func(secret, want string) {
		t.Helper()
		if got := who(secret); got != want {
			t.Errorf("%s is %s, not %s", secret, got, want)
		}
	}
	is(lasting, "ada [operator] false")
	is(brief, "ada [operator] false")
	is(bobs, "bob [approver] false")
	for _, wrong := range []string{
		"", "exg_", "exg__", lasting[1:], lasting + "a", lasting + "\n", " " + lasting, strings.ToUpper(lasting), lasting[:len(lasting)-1],
		lasting[:len(lasting)-1] + "7", lasting[:13] + bobs[13:], strings.Replace(lasting, "exg", "xxg", 1), "exg_aaaaaaaa_" + lasting[13:],
	} {
		is(wrong, "nobody")
	}

	w.passes(time.Hour - 1)
	is(brief, "ada [operator] false")
	w.passes(1)
	is(brief, "nobody")
	if tokens := w.s.Principals()[0].Tokens; len(tokens) != 2 {
		t.Errorf("%+v", tokens)
	}
	w.must(w.sets(w.root(), named("ada", changes.Viewer)))
	if tokens := w.s.Principals()[0].Tokens; len(tokens) != 1 || tokens[0].ID != lasting[4:12] {
		t.Errorf("the one that expired stays: %+v", tokens)
	}
	is(lasting, "ada [viewer] false")
	w.must(w.write(w.s.RevokeToken(w.root(), "ada", lasting[4:12], "lost", changes.Request{}, w.now)))
	is(lasting, "nobody")
	w.must(w.removes(w.root(), "bob"))
	is(bobs, "nobody")
	w.must(w.sets(w.root(), named("bob", changes.Approver)))
	is(bobs, "nobody")
}

func TestASecretIsInNoRecordAndNotInTheState(t *testing.T) {
	w := begun(t, rules)
	w.must(w.sets(w.root(), named("ada", changes.Operator)))
	secret, err := w.gives("ada", 1, time.Time{})
	w.must(err)
	kept, err := w.s.MarshalJSON()
	w.must(err)
	d, err := changes.Describe(w.last())
	w.must(err)
	for _, text := range []string{string(w.last().Body), string(kept), fmt.Sprintf("%+v", d)} {
		if strings.Contains(text, secret[13:]) {
			t.Errorf("%s", text)
		}
	}
}

func TestNewTokensDiffer(t *testing.T) {
	_, a := changes.NewToken([32]byte{}, begin, time.Time{})
	_, b := changes.NewToken([32]byte{31: 1}, begin, time.Time{})
	_, c := changes.NewToken([32]byte{1}, begin, time.Time{})
	if a == b || a == c || a[:12] != b[:12] || a[:12] == c[:12] || len(a) != len("exg_aebagaaa_")+44 {
		t.Errorf("%s\n%s\n%s", a, b, c)
	}
}

func TestCertificatesAndUsers(t *testing.T) {
	w := begun(t, rules)
	w.must(w.sets(w.root(), changes.Principal{Name: "ada", Roles: []changes.Role{changes.Viewer}, User: "alove", Certificate: "ada@example.org"}))
	w.must(w.sets(w.root(), changes.Principal{Name: "bob", Roles: []changes.Role{changes.Approver}, Certificate: "bob.example.org"}))
	w.must(w.sets(w.root(), named("eve", changes.Viewer)))
	for _, test := range []struct {
		names []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"eve"}, ""},
		{[]string{"ada@example.org"}, "ada"},
		{[]string{"ADA@example.org"}, ""},
		{[]string{"x", "bob.example.org", "ada@example.org"}, "bob"},
	} {
		a, ok := w.s.ByCertificate(test.names)
		if a.Name != test.want || ok != (test.want != "") || a.Local || len(a.Roles) > 1 {
			t.Errorf("%q: %+v, %v", test.names, a, ok)
		}
	}
	all := []changes.Role{changes.Viewer, changes.Operator, changes.Approver, changes.Counsel}
	for user, want := range map[string]string{"alove": "ada", "ada": "unix:ada", "bob": "unix:bob", "": "unix:"} {
		if a := w.s.ByUser(user); a.Name != want || !a.Local || !slices.Equal(a.Roles, all) {
			t.Errorf("%q: %+v", user, a)
		}
	}
}
