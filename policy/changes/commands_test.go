package changes_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/policy"
	"github.com/exitgate/exitgate/policy/changes"
	"github.com/exitgate/exitgate/policy/edit"
	"github.com/exitgate/exitgate/policy/plan"
	"github.com/google/go-cmp/cmp"
)

func TestPropose(t *testing.T) {
	with := func(p changes.Proposal, edit func(*changes.Proposal)) func(*world) error {
		return func(w *world) error {
			p := w.agreed(p)
			edit(&p)
			return w.propose(ada, p)
		}
	}
	because := func(text string) func(*world) error {
		return with(notice(), func(p *changes.Proposal) { p.Because = text })
	}
	check(t, rules, []step{
		{"what needs no approval comes into force", func(w *world) error { return w.proposes(ada, notice()) }, "writes revision"},
		{"what needs approvals waits", func(w *world) error { return w.proposes(ada, withdrawal()) }, "writes change"},
		{"an opening waits", func(w *world) error { return w.proposes(ada, opening()) }, "writes change"},
		{"an emergency doesn't wait", func(w *world) error { return w.proposes(ada, emergency()) }, "writes revision"},
		{"an emergency can't open", func(w *world) error {
			p := opening()
			p.Emergency = true
			return w.proposes(ada, p)
		}, "invalid"},
		{"an emergency can't change anything besides", func(w *world) error {
			p := proposing(strings.Replace(rules, "withdraw: 2", "withdraw: 0", 1) + "  DE: withdrawn\n")
			p.Emergency = true
			return w.proposes(ada, p)
		}, "invalid"},
		{"what lowers the rules needs as many as the highest", func(w *world) error {
			return w.proposes(ada, proposing(strings.Replace(rules, "open: 1", "open: 0", 1)))
		}, "writes change"},

		{"a viewer may not", func(w *world) error { return w.proposes(vic, notice()) }, "forbidden"},
		{"an approver may not", func(w *world) error { return w.proposes(bob, notice()) }, "forbidden"},
		{"nobody may not", func(w *world) error { return w.proposes(none, notice()) }, "forbidden"},

		{"not on what isn't in force any more", func(w *world) error {
			p := w.agreed(withdrawal())
			w.must(w.proposes(oleg, notice()))
			w.passes(time.Minute)
			return w.propose(ada, p)
		}, "conflict"},
		{"not on what isn't known", with(notice(), func(p *changes.Proposal) { p.Expected = 7 }), "conflict"},
		{"not without a plan", with(notice(), func(p *changes.Proposal) { p.Plan = "" }), "invalid"},
		{"not by another plan", with(notice(), func(p *changes.Proposal) { p.Plan = "abc" }), "plan-changed"},
		{"not once a date has made another plan of it", func(w *world) error {
			p := w.agreed(proposing(rules + "  US: {schedule: [{from: 2026-12-01T00:00:00Z, phase: withdrawn}]}\n"))
			w.passes(10 * 24 * time.Hour)
			return w.propose(ada, p)
		}, "plan-changed"},
		{"not what is in force", func(w *world) error { return w.proposes(ada, proposing(rules)) }, "no-change"},
		{"not what is set already", func(w *world) error { return w.proposes(ada, set("FR", policy.Withdrawn)) }, "no-change"},

		{"not without a reason", because(" \n "), "invalid"},
		{"a reason may have lines", because("one\ntwo"), "writes revision"},
		{"a reason isn't a bell", because("ring\a"), "invalid"},
		{"a reason is UTF-8", because("\xff"), "invalid"},
		{"a reason may be long", because(strings.Repeat("x", changes.MaxBecause)), "writes revision"},
		{"but not longer", because(strings.Repeat("x", changes.MaxBecause+1)), "invalid"},

		{"a hundred may wait", func(w *world) error { wait(w, changes.MaxPending-1); return w.proposes(ada, withdrawal()) }, "writes change"},
		{"but not more", func(w *world) error { wait(w, changes.MaxPending); return w.proposes(ada, withdrawal()) }, "invalid"},
		{"emergencies don't wait in any case", func(w *world) error { wait(w, changes.MaxPending); return w.proposes(ada, emergency()) }, "writes revision"},
		{"what has waited in vain for long makes room", func(w *world) error {
			wait(w, changes.MaxPending)
			w.passes(changes.ForgetAfter + 1)
			return w.proposes(ada, withdrawal())
		}, "writes change"},
		{"not before", func(w *world) error {
			wait(w, changes.MaxPending)
			w.passes(changes.ForgetAfter)
			return w.proposes(ada, withdrawal())
		}, "invalid"},
	})
}

func wait(w *world, n int) {
	w.t.Helper()
	p := w.agreed(withdrawal())
	for range n {
		w.must(w.propose(ada, p))
	}
}

func TestPlan(t *testing.T) {
	plan := func(p changes.Proposal) func(*world) error {
		return func(w *world) error {
			_, err := w.s.Plan(p, nil, w.now)
			return err
		}
	}
	check(t, rules, []step{
		{"of nothing", plan(changes.Proposal{}), "invalid"},
		{"of two things", plan(changes.Proposal{Policy: []byte(rules), Set: withdrawal().Set}), "invalid"},
		{"of no jurisdiction", plan(set("XX", policy.Open)), "not-found"},
		{"of what a date can't do", plan(changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: "FR", Phase: policy.Announced, From: begin.Add(time.Hour)}}), "invalid"},
	})

	t.Run("of a policy that isn't one", func(t *testing.T) {
		w := begun(t, rules)
		_, err := w.s.Plan(proposing("version: 1\nmode: perhaps\njurisdictions: {XX: open}\n"), nil, w.now)
		var refusal *changes.Error
		var problems strictyaml.Errors
		if !errors.As(err, &refusal) || refusal.Code != changes.WrongPolicy || refusal.Message != "the policy would be wrong" ||
			!errors.As(err, &problems) || len(problems) != 2 || problems[0].File != "policy" || !strings.Contains(err.Error(), problems[1].Error()) {
			t.Errorf("%#v", err)
		}
	})
	t.Run("of what would break a promise", func(t *testing.T) {
		w := begun(t, `version: 1
guarantees: {e2ee: {require: true}}
demands: {law: {jurisdiction: FR, territories: none, stage: in-force, in-force: 2026-01-01T00:00:00Z, requires: {e2ee: false}}}
jurisdictions: {FR: withdrawn}
`)
		_, err := w.s.Plan(opening(), nil, w.now)
		var refusal *changes.Error
		if !errors.As(err, &refusal) || refusal.Code != changes.WrongPolicy || refusal.Message != "the policy would be wrong" || !errors.As(err, new(strictyaml.Errors)) {
			t.Errorf("%#v", err)
		}
	})
	t.Run("before there is a policy", func(t *testing.T) {
		w := &world{t: t, s: changes.New(parsers)}
		_, err := w.s.Plan(withdrawal(), nil, begin)
		if got, want := w.code(err), "conflict"; got != want {
			t.Errorf("%s", got)
		}
		_, err = w.s.Propose(ada, changes.Proposal{Expected: 4, Because: "so", Set: withdrawal().Set}, nil, begin)
		if got, want := w.code(err), "conflict"; got != want {
			t.Errorf("%s", got)
		}
	})

	for _, test := range []struct {
		name      string
		p         changes.Proposal
		needs     int
		emergency bool
	}{
		{"a withdrawal", withdrawal(), 2, true},
		{"an opening", opening(), 1, false},
		{"a notice", notice(), 0, false},
		{"nothing", proposing(rules), 0, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			w := begun(t, rules)
			planned, err := w.s.Plan(test.p, nil, w.now)
			if err != nil || planned.Needs != test.needs || planned.Emergency != test.emergency || policy.Digest(planned.Policy) != planned.Plan.After {
				t.Errorf("%+v, %v", planned, err)
			}
		})
	}

	t.Run("is the same document an hour later, also where a date is filled in", func(t *testing.T) {
		w := begun(t, rules)
		p := w.agreed(changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: "IT", Phase: policy.Withdrawn, From: begin.Add(240 * time.Hour)}})
		w.passes(time.Hour)
		if err := w.propose(ada, p); err != nil {
			t.Error(err)
		}
		_, source, _ := w.s.Change(2, nil, w.now)
		if !strings.Contains(string(source), "{from: 2026-11-22T00:00:00Z, phase: announced}") {
			t.Errorf("%s", source)
		}
	})
}

func TestApprove(t *testing.T) {
	proposed := func(do func(*world) error) func(*world) error { // change 2 needs two approvals
		return func(w *world) error {
			w.must(w.proposes(ada, withdrawal()))
			return do(w)
		}
	}
	applied := func(do func(*world) error) func(*world) error { // by record 4
		return proposed(func(w *world) error {
			w.must(w.approves(bob, 2))
			w.must(w.approves(eve, 2))
			return do(w)
		})
	}
	check(t, rules, []step{
		{"the first of two is noted", proposed(func(w *world) error { return w.approves(bob, 2) }), "writes approval"},
		{"the second brings it into force", proposed(func(w *world) error { w.must(w.approves(bob, 2)); return w.approves(eve, 2) }), "writes revision"},
		{"one is enough where one is", func(w *world) error { w.must(w.proposes(ada, opening())); return w.approves(bob, 2) }, "writes revision"},
		{"an operator who is an approver, too, may", proposed(func(w *world) error { return w.approves(both, 2) }), "writes approval"},

		{"a viewer may not", proposed(func(w *world) error { return w.approves(vic, 2) }), "forbidden"},
		{"an operator may not", proposed(func(w *world) error { return w.approves(oleg, 2) }), "forbidden"},
		{"the author may not", func(w *world) error { w.must(w.proposes(both, withdrawal())); return w.approves(both, 2) }, "four-eyes"},
		{"not even over the socket", func(w *world) error {
			w.must(w.proposes(w.root(), withdrawal()))
			return w.approves(w.root(), 2)
		}, "four-eyes"},
		{"nor by another door", func(w *world) error {
			w.must(w.sets(w.root(), changes.Principal{Name: "both", Roles: both.Roles, User: "root"}))
			w.must(w.proposes(both, withdrawal()))
			return w.approves(w.root(), 3)
		}, "four-eyes"},
		{"nor by a door that was opened since", func(w *world) error {
			w.must(w.proposes(w.root(), withdrawal()))
			w.must(w.sets(w.root(), changes.Principal{Name: "both", Roles: both.Roles, User: "root"}))
			return w.approves(both, 2)
		}, "four-eyes"},
		{"who has edited it may not", proposed(func(w *world) error {
			w.must(w.edits(both, 2, set("DE", policy.WindDown)))
			return w.approves(both, 2)
		}), "four-eyes"},
		{"the first author may not after an edit by another", func(w *world) error {
			w.must(w.proposes(both, withdrawal()))
			w.must(w.edits(ada, 2, set("DE", policy.WindDown)))
			return w.approves(both, 2)
		}, "four-eyes"},
		{"nobody approves twice", proposed(func(w *world) error { w.must(w.approves(bob, 2)); return w.approves(bob, 2) }), "no-change"},
		{"but anew after an edit", proposed(func(w *world) error {
			w.must(w.approves(bob, 2))
			w.must(w.edits(ada, 2, set("DE", policy.WindDown)))
			return w.approves(bob, 2)
		}), "writes approval"},
		{"an edit voids approvals", proposed(func(w *world) error {
			w.must(w.approves(bob, 2))
			w.must(w.edits(ada, 2, set("DE", policy.WindDown)))
			return w.approves(eve, 2)
		}), "writes approval"},

		{"not without saying what", proposed(func(w *world) error { return w.approve(bob, 2, "") }), "invalid"},
		{"not what was proposed before an edit", proposed(func(w *world) error {
			c, _, _ := w.s.Change(2, nil, w.now)
			w.must(w.edits(ada, 2, set("DE", policy.WindDown)))
			return w.approve(bob, 2, c.Plan)
		}), "plan-changed"},
		{"not what a date has made something else of", func(w *world) error {
			w.must(w.proposes(ada, proposing(rules+"  US: {schedule: [{from: 2026-11-23T00:00:00Z, phase: withdrawn}]}\n")))
			w.passes(24 * time.Hour)
			return w.approves(bob, 2)
		}, "plan-changed"},
		{"not what a flag has made something else of", proposed(func(w *world) error {
			w.flags = policy.Flags{"DE": {Phase: policy.ClosedToNew}}
			return w.approves(bob, 2)
		}), "plan-changed"},

		{"until it expires", proposed(func(w *world) error { w.passes(72*time.Hour - 1); return w.approves(bob, 2) }), "writes approval"},
		{"not once it has", proposed(func(w *world) error { w.passes(72 * time.Hour); return w.approves(bob, 2) }), "ended"},
		{"until it expires by the policy's own rule", expiringIn10Hours(10*time.Hour - 1), "writes approval"}, // issue 10, E
		{"not once it has by that", expiringIn10Hours(10 * time.Hour), "ended"},
		{"not what is stale", proposed(func(w *world) error { w.must(w.proposes(oleg, guarantee())); return w.approves(bob, 2) }), "ended"},
		{"not what an emergency has made stale", proposed(func(w *world) error { w.must(w.proposes(oleg, emergency())); return w.approves(bob, 2) }), "ended"},
		{"not what is applied", applied(func(w *world) error { return w.approves(both, 2) }), "ended"},
		{"not what is rejected", proposed(func(w *world) error { w.must(w.rejects(bob, 2)); return w.approves(bob, 2) }), "ended"},
		{"not what isn't there", func(w *world) error { return w.approve(bob, 7, "abc") }, "not-found"},
		{"not for a reason that can't be shown", proposed(func(w *world) error {
			return w.write(w.s.Approve(bob, 2, "abc", "\x1b[2J", changes.Request{}, nil, w.now))
		}), "invalid"},
	})
}

func TestSign(t *testing.T) {
	done := func(do func(*world) error) func(*world) error { // by revision 2
		return func(w *world) error {
			w.must(w.proposes(both, emergency()))
			return do(w)
		}
	}
	check(t, rules, []step{
		{"an approver signs", done(func(w *world) error { return w.approves(bob, 2) }), "writes approval"},
		{"also late", done(func(w *world) error { w.passes(1000 * time.Hour); return w.approves(bob, 2) }), "writes approval"},
		{"also once another revision is in force", done(func(w *world) error {
			another := set("AT", policy.Withdrawn)
			another.Emergency = true
			w.must(w.proposes(ada, another))
			return w.approves(bob, 2)
		}), "writes approval"},
		{"an operator may not", done(func(w *world) error { return w.approves(oleg, 2) }), "forbidden"},
		{"the author may not", done(func(w *world) error { return w.approves(both, 2) }), "four-eyes"},
		{"not without saying what", done(func(w *world) error { return w.approve(bob, 2, "") }), "invalid"},
		{"not another policy", done(func(w *world) error { return w.approve(bob, 2, policy.Digest([]byte(rules))) }), "plan-changed"},
		{"once is enough", done(func(w *world) error { w.must(w.approves(bob, 2)); return w.approve(eve, 2, "abc") }), "not-found"},
		{"what nobody needs to sign", func(w *world) error { return w.approve(bob, 1, "abc") }, "not-found"},
	})

	w := begun(t, rules)
	w.must(w.proposes(ada, emergency()))
	r := w.s.Revision()
	if !r.Emergency || !r.SignBy.Equal(begin.Add(24*time.Hour)) || r.Needs != 2 || len(w.s.Unsigned()) != 1 {
		t.Errorf("%+v", r)
	}
	w.passes(time.Hour)
	w.must(w.write(w.s.Approve(bob, 2, r.SHA256, "seen", changes.Request{}, nil, w.now)))
	if got := w.s.Revision().Signature; got == nil || *got != (changes.Approval{By: "bob", At: w.now, Because: "seen"}) || len(w.s.Unsigned()) != 0 {
		t.Errorf("%+v, %+v", got, w.s.Unsigned())
	}
}

func TestAnEmergencyThatNeedsNoApprovalIsNone(t *testing.T) {
	w := begun(t, "version: 1\n")
	w.must(w.proposes(ada, emergency()))
	if r := w.s.Revision(); r.Number != 2 || r.Emergency || !r.SignBy.IsZero() || len(w.s.Unsigned()) != 0 {
		t.Errorf("%+v", r)
	}
}

func TestEdit(t *testing.T) {
	windDown := set("DE", policy.WindDown)
	proposed := func(do func(*world) error) func(*world) error {
		return func(w *world) error {
			w.must(w.proposes(ada, withdrawal()))
			return do(w)
		}
	}
	check(t, rules, []step{
		{"what waits", proposed(func(w *world) error { return w.edits(oleg, 2, windDown) }), "writes edit"},
		{"what is expired", proposed(func(w *world) error { w.passes(100 * time.Hour); return w.edits(oleg, 2, withdrawal()) }), "writes edit"},
		{"what is stale", proposed(func(w *world) error { w.must(w.proposes(ada, notice())); return w.edits(oleg, 2, withdrawal()) }), "writes edit"},
		{"so that it needs nobody", proposed(func(w *world) error { return w.edits(oleg, 2, notice()) }), "writes revision"},
		{"so that it is an emergency", proposed(func(w *world) error { return w.edits(oleg, 2, emergency()) }), "writes revision"},
		{"not to what is in force", proposed(func(w *world) error { return w.edits(oleg, 2, proposing(rules)) }), "no-change"},
		{"not what is rejected", proposed(func(w *world) error { w.must(w.rejects(ada, 2)); return w.edits(oleg, 2, windDown) }), "ended"},
		{"not what is applied", proposed(func(w *world) error {
			w.must(w.edits(oleg, 2, notice()))
			return w.edits(oleg, 2, windDown)
		}), "ended"},
		{"not what isn't there", func(w *world) error { return w.edits(oleg, 2, windDown) }, "not-found"},
		{"not by an approver", proposed(func(w *world) error { return w.edits(bob, 2, windDown) }), "forbidden"},
		{"not on what isn't in force any more", proposed(func(w *world) error {
			p := w.agreed(windDown)
			w.must(w.proposes(oleg, notice()))
			return w.write(w.s.Edit(ada, 2, p, nil, w.now))
		}), "conflict"},
	})

	t.Run("proposes it anew", func(t *testing.T) {
		w := begun(t, rules)
		w.must(w.proposes(ada, withdrawal()))
		w.must(w.approves(bob, 2))
		w.must(w.proposes(ada, notice()))
		w.passes(100 * time.Hour)
		w.must(w.edits(oleg, 2, windDown))
		c, source, _ := w.s.Change(2, nil, w.now)
		if !slices.Equal(c.Authors, []string{"ada", "oleg"}) || len(c.Approvals) != 0 || c.Base != 4 || !c.Time.Equal(w.now) ||
			!c.Expires.Equal(w.now.Add(72*time.Hour)) || c.Status != changes.Pending || policy.Digest(source) != c.SHA256 {
			t.Errorf("%+v", c)
		}
	})
	t.Run("by its author adds none", func(t *testing.T) {
		w := begun(t, rules)
		w.must(w.proposes(ada, withdrawal()))
		w.must(w.edits(ada, 2, windDown))
		if c, _, _ := w.s.Change(2, nil, w.now); !slices.Equal(c.Authors, []string{"ada"}) {
			t.Errorf("%+v", c)
		}
	})
	t.Run("that needs nobody has all authors", func(t *testing.T) {
		w := begun(t, rules)
		w.must(w.proposes(ada, withdrawal()))
		w.must(w.edits(oleg, 2, notice()))
		r := w.s.Revision()
		c, source, _ := w.s.Change(2, nil, w.now)
		if r.Change != 2 || !slices.Equal(r.Authors, []string{"ada", "oleg"}) || r.Needs != 0 ||
			c.Status != changes.Applied || c.Revision != r.Number || c.SHA256 != r.SHA256 || c.Needs != 0 || source != nil {
			t.Errorf("%+v\n%+v", r, c)
		}
	})
}

func TestReject(t *testing.T) {
	proposed := func(do func(*world) error) func(*world) error {
		return func(w *world) error {
			w.must(w.proposes(ada, withdrawal()))
			return do(w)
		}
	}
	check(t, rules, []step{
		{"the author may", proposed(func(w *world) error { return w.rejects(ada, 2) }), "writes rejection"},
		{"an operator may", proposed(func(w *world) error { return w.rejects(oleg, 2) }), "writes rejection"},
		{"an approver may", proposed(func(w *world) error { return w.rejects(bob, 2) }), "writes rejection"},
		{"a viewer may not", proposed(func(w *world) error { return w.rejects(vic, 2) }), "forbidden"},
		{"what is stale", proposed(func(w *world) error { w.must(w.proposes(ada, notice())); return w.rejects(bob, 2) }), "writes rejection"},
		{"what is expired", proposed(func(w *world) error { w.passes(100 * time.Hour); return w.rejects(bob, 2) }), "writes rejection"},
		{"once", proposed(func(w *world) error { w.must(w.rejects(bob, 2)); return w.rejects(bob, 2) }), "ended"},
		{"not without a reason", proposed(func(w *world) error { return w.write(w.s.Reject(bob, 2, "", changes.Request{}, w.now)) }), "invalid"},
		{"not what isn't there", func(w *world) error { return w.rejects(bob, 2) }, "not-found"},
	})
}

func TestARequestThatIsRepeatedIsDoneOnce(t *testing.T) {
	request := changes.Request{Key: "k1", Fingerprint: "f1"}
	once := func(w *world) changes.Proposal {
		p := w.agreed(notice())
		p.Request = request
		w.must(w.propose(ada, p))
		return p
	}
	check(t, rules, []step{
		{"a proposal", func(w *world) error { return w.propose(ada, once(w)) }, "*changes.RepeatedError"},
		{"even if the role is gone", func(w *world) error {
			p := once(w)
			return w.propose(changes.Actor{Name: "ada"}, p)
		}, "*changes.RepeatedError"},
		{"also if it comes with another credential", func(w *world) error {
			p := once(w)
			by := ada
			by.Credential = "token:renewed"
			p.Request = changes.NewRequest("k1", "f1", by)
			return w.propose(by, p)
		}, "*changes.RepeatedError"},
		{"but another one by the same key isn't", func(w *world) error {
			p := once(w)
			p.Fingerprint = "f2"
			return w.propose(ada, p)
		}, "key-reused"},
		{"nor another command", func(w *world) error {
			once(w)
			return w.write(w.s.Reject(ada, 1, "so", changes.Request{Key: "k1", Fingerprint: "f2"}, w.now))
		}, "key-reused"},
		{"and somebody else's key is another", func(w *world) error {
			once(w)
			p := w.agreed(withdrawal())
			p.Request = request
			return w.propose(oleg, p)
		}, "writes change"},
		{"a key has a limit", func(w *world) error {
			p := w.agreed(notice())
			p.Key = strings.Repeat("k", 257)
			return w.propose(ada, p)
		}, "invalid"},
	})

	t.Run("every command", func(t *testing.T) {
		w := begun(t, rules)
		token, _ := changes.NewToken([32]byte{1}, w.now, time.Time{})
		root := w.root()
		commands := []func(changes.Request) (changes.Draft, error){
			func(r changes.Request) (changes.Draft, error) {
				p := w.agreed(withdrawal())
				p.Request = r
				return w.s.Propose(ada, p, nil, w.now)
			},
			func(r changes.Request) (changes.Draft, error) {
				p := w.agreed(set("DE", policy.WindDown))
				p.Request = r
				return w.s.Edit(ada, 2, p, nil, w.now)
			},
			func(r changes.Request) (changes.Draft, error) {
				c, _, _ := w.s.Change(2, nil, w.now)
				return w.s.Approve(bob, 2, c.Plan, "", r, nil, w.now)
			},
			func(r changes.Request) (changes.Draft, error) { return w.s.Reject(eve, 2, "so", r, w.now) },
			func(r changes.Request) (changes.Draft, error) {
				return w.s.SetPrincipal(root, changes.Principal{Name: "ada", Roles: []changes.Role{changes.Viewer}}, "so", r, w.now)
			},
			func(r changes.Request) (changes.Draft, error) {
				return w.s.AddToken(root, "ada", token, "so", r, w.now)
			},
			func(r changes.Request) (changes.Draft, error) {
				return w.s.RevokeToken(root, "ada", token.ID, "so", r, w.now)
			},
			func(r changes.Request) (changes.Draft, error) {
				return w.s.RemovePrincipal(root, "ada", "so", r, w.now)
			},
		}
		for i, command := range commands {
			r := changes.Request{Key: string(rune('a' + i)), Fingerprint: "f"}
			w.must(w.write(command(r)))
			number := w.s.Last()
			var repeated *changes.RepeatedError
			if _, err := command(r); !errors.As(err, &repeated) || repeated.Number != number {
				t.Errorf("command %d: %v", i, err)
			}
			w.now = w.now.Add(time.Second)
		}
	})

	t.Run("the last keys are known", func(t *testing.T) {
		w := begun(t, rules)
		reject := func(n int) error {
			_, err := w.s.Reject(ada, 1, "so", changes.Request{Key: strings.Repeat("k", n), Fingerprint: "f"}, w.now)
			return err
		}
		for n := range changes.MaxKeys {
			p := w.agreed(withdrawal())
			p.Request = changes.Request{Key: strings.Repeat("k", n+1)[:min(n+1, 256)], Fingerprint: "f"}
			w.must(w.propose(ada, p))
			w.must(w.rejects(ada, w.s.Last()))
		}
		if err := reject(1); !errors.As(err, new(*changes.RepeatedError)) {
			t.Errorf("the first of %d: %v", changes.MaxKeys, err)
		}
		p := w.agreed(notice())
		p.Request = changes.Request{Key: "another", Fingerprint: "f"}
		w.must(w.propose(ada, p))
		if err := reject(1); errors.As(err, new(*changes.RepeatedError)) {
			t.Errorf("the first of %d: %v", changes.MaxKeys+1, err)
		}
		if err := reject(2); !errors.As(err, new(*changes.RepeatedError)) {
			t.Errorf("the second of %d: %v", changes.MaxKeys+1, err)
		}
	})
}

func TestARevisionHoldsAllThatIsToBeProved(t *testing.T) {
	w := begun(t, rules)
	w.must(w.proposes(ada, withdrawal()))
	c, source, _ := w.s.Change(2, nil, w.now)
	w.passes(time.Hour)
	w.must(w.write(w.s.Approve(bob, 2, c.Plan, "agreed", changes.Request{}, nil, w.now)))
	w.passes(time.Hour)
	w.must(w.approves(eve, 2))
	d, err := changes.Describe(w.last())
	if err != nil {
		t.Fatal(err)
	}
	want := changes.Revision{
		Number: 4, Time: w.now, Authors: []string{"ada"}, Because: "because of the law", Summary: "DE open → withdrawn",
		SHA256: policy.Digest(source), Base: 1, Change: 2, Plan: c.Plan, Effects: []plan.Effect{plan.WithdrawsMarket}, Needs: 2,
		Approvals: []changes.Approval{{By: "bob", At: begin.Add(time.Hour), Because: "agreed"}, {By: "eve", At: begin.Add(2 * time.Hour)}},
	}
	equal(t, *d.Revision, want)
	equal(t, w.s.Revision(), want)
	if string(d.Policy) != string(source) || string(w.s.Source()) != string(source) || w.s.Policy().Digest() != want.SHA256 {
		t.Errorf("%s", d.Policy)
	}
	if w.last().Author != "eve" || w.last().Reason != "because of the law" {
		t.Errorf("%+v", w.last())
	}
	c, source, _ = w.s.Change(2, nil, w.now)
	equal(t, c, changes.Change{
		Number: 2, Time: begin, Authors: want.Authors, Because: want.Because, Summary: want.Summary, SHA256: want.SHA256, Base: 1,
		Plan: want.Plan, Effects: want.Effects, Needs: 2, Approvals: want.Approvals, Expires: begin.Add(72 * time.Hour),
		Status: changes.Applied, Revision: 4,
	})
	if source != nil {
		t.Errorf("%s", source)
	}
}

func TestApprovalsAddUp(t *testing.T) {
	w := begun(t, strings.Replace(rules, "withdraw: 2", "withdraw: 3", 1))
	w.must(w.proposes(ada, withdrawal()))
	one := w.s
	for i, by := range []changes.Actor{bob, eve, both} {
		if c, _, _ := w.s.Change(2, nil, w.now); len(c.Approvals) != i || c.Status != changes.Pending || c.Needs != 3 {
			t.Errorf("after %d: %+v", i, c)
		}
		w.must(w.approves(by, 2))
	}
	var names []string
	for _, a := range w.s.Revision().Approvals {
		names = append(names, a.By)
	}
	equal(t, names, []string{"bob", "eve", "both"})
	if c, _, _ := one.Change(2, nil, w.now); len(c.Approvals) != 0 {
		t.Errorf("what was has changed: %+v", c)
	}
}

func TestChangesThatEndedAreForgottenInTheOrderInWhichTheyEnded(t *testing.T) {
	w := begun(t, rules)
	w.must(w.proposes(ada, withdrawal())) // 2 waits longest
	for range changes.MaxEnded {
		w.must(w.proposes(ada, withdrawal()))
		w.must(w.rejects(ada, w.s.Last()))
	}
	if got := len(w.s.Changes(nil, w.now)); got != changes.MaxEnded+1 {
		t.Fatalf("%d changes", got)
	}
	w.must(w.rejects(ada, 2))
	all := w.s.Changes(nil, w.now)
	if len(all) != changes.MaxEnded || all[0].Number != 2 || all[1].Number != 5 {
		t.Errorf("%d changes, first %d and %d", len(all), all[0].Number, all[1].Number)
	}
}

func TestWhoMayDoWhat(t *testing.T) {
	token, _ := changes.NewToken([32]byte{1}, begin, time.Time{})
	other, _ := changes.NewToken([32]byte{2}, begin, time.Time{})
	var request changes.Request
	commands := []struct {
		name string
		may  string // viewer, operator, approver, everybody over the network, over the socket
		do   func(*world, changes.Actor) error
	}{
		{"propose", "-o-as", func(w *world, by changes.Actor) error { return w.proposes(by, notice()) }},
		{"propose what waits", "-o-as", func(w *world, by changes.Actor) error { return w.proposes(by, opening()) }},
		{"withdraw in an emergency", "-o-as", func(w *world, by changes.Actor) error { return w.proposes(by, emergency()) }},
		{"edit", "-o-as", func(w *world, by changes.Actor) error { return w.edits(by, 4, opening()) }},
		{"approve", "--aas", func(w *world, by changes.Actor) error { return w.approves(by, 4) }},
		{"sign", "--aas", func(w *world, by changes.Actor) error {
			w.must(w.proposes(ada, emergency()))
			return w.approves(by, w.s.Last())
		}},
		{"reject", "-oaas", func(w *world, by changes.Actor) error { return w.rejects(by, 4) }},
		{"set a principal", "----s", func(w *world, by changes.Actor) error { return w.sets(by, named("x", changes.Viewer)) }},
		{"remove a principal", "----s", func(w *world, by changes.Actor) error { return w.removes(by, "p") }},
		{"give a token", "----s", func(w *world, by changes.Actor) error {
			return w.write(w.s.AddToken(by, "p", other, "so", request, w.now))
		}},
		{"revoke a token", "----s", func(w *world, by changes.Actor) error {
			return w.write(w.s.RevokeToken(by, "p", token.ID, "so", request, w.now))
		}},
	}
	all := []changes.Role{changes.Viewer, changes.Operator, changes.Approver}
	for _, command := range commands {
		t.Run(command.name, func(t *testing.T) {
			var may []byte
			for i, sign := range []byte("voaas") {
				w := begun(t, rules)
				w.must(w.sets(w.root(), named("p", changes.Viewer)))
				w.must(w.write(w.s.AddToken(w.root(), "p", token, "so", request, w.now)))
				w.must(w.proposes(oleg, withdrawal())) // 4
				by := changes.Actor{Name: "me", Roles: all}
				switch {
				case i < len(all):
					by.Roles = all[i : i+1]
				case sign == 's':
					by = w.root()
				}
				var refusal *changes.Error
				switch err := command.do(w, by); {
				case err == nil:
				case errors.As(err, &refusal) && refusal.Code == changes.Forbidden:
					sign = '-'
				default:
					t.Error(err)
				}
				may = append(may, sign)
			}
			if string(may) != command.may {
				t.Errorf("%s may, not %s", may, command.may)
			}
		})
	}
}

// expiringIn10Hours is an approval some time after a change was proposed by rules
// with an expiry of their own.
func expiringIn10Hours(later time.Duration) func(*world) error {
	return func(w *world) error {
		own := strings.Replace(rules, "other: 0", "other: 0, expire: 10h", 1)
		w.must(w.proposes(ada, proposing(own)))
		w.must(w.proposes(ada, withdrawal()))
		w.passes(later)
		return w.approves(bob, w.last().Number)
	}
}

// A gateway that can't read a policy would go on by the one before. So its record
// says what it takes, and isn't written while such a gateway is present.
func TestAPolicySaysWhatFormatItTakes(t *testing.T) {
	const before = "version: 1\napprovals: {other: 1}\n"
	for change, want := range map[string]int{
		"guarantees: {e2ee: {require: true, statement: Encrypted.}}\n":                                         1,
		"guarantees: {e2ee: {require: true, statement: {en: Encrypted.}}}\n":                                   4,
		"demands: {a: {jurisdiction: FR, stage: proposed, requires: {e2ee: false}, title: {fr: Accès}}}\n":     4,
		"demands: {a: {jurisdiction: FR, stage: proposed, requires: {e2ee: false}, authority: {fr: Sénat}}}\n": 4,
		"withdrawal: {drain: 0s}\n":                           1,
		"withdrawal: {drain: 30s}\n":                          6,
		"jurisdictions: {FR: {phase: open, drain: 0s}}\n":     6,
		"notices: {default: {texts: {fr: {title: Fermé}}}}\n": 1,
	} {
		w := begun(t, before)
		p := changes.Proposal{Policy: []byte(before + change), Expected: 1, Because: "why"}
		planned, err := w.s.Plan(p, nil, w.now)
		w.must(err)
		p.Plan = planned.Plan.Hash
		w.must(w.write(w.s.Propose(ada, p, nil, w.now)))
		proposed := w.last()
		w.must(w.write(w.s.Approve(bob, proposed.Number, p.Plan, "", changes.Request{}, nil, w.now)))
		for _, r := range []changes.Record{proposed, w.last()} {
			if refused := changes.CheckFormat(r.Draft, []int{3}) != nil; r.Format() != want || refused != (want > 3) {
				t.Errorf("%s: %s of format %d, want %d; refused beside an older gateway: %v", change, r.Kind, r.Format(), want, refused)
			}
		}
	}
}

// Issue 12: in an emergency what is under way has no drain. The record says so where the
// policy has any, also if it takes no approval; else earlier gateways would skip it.
func TestAnEmergencyEndsAtOnceWhatIsUnderWay(t *testing.T) {
	for before, want := range map[string]bool{
		"version: 1\n":                           false,
		"version: 1\nwithdrawal: {drain: 10m}\n": true,
		"version: 1\nwithdrawal: {drain: 10m}\napprovals: {withdraw: 2}\n": true,
	} {
		for _, emergency := range []bool{false, true} {
			w := begun(t, before)
			p := changes.Proposal{Set: &edit.PhaseChange{Jurisdiction: "IT", Phase: policy.Withdrawn}, Expected: 1, Because: "why", Emergency: emergency}
			planned, err := w.s.Plan(p, nil, w.now)
			w.must(err)
			p.Plan = planned.Plan.Hash
			w.must(w.write(w.s.Propose(ada, p, nil, w.now)))
			if w.last().EndsAtOnce() != (want && emergency) {
				t.Errorf("%s, emergency %v: %s", before, emergency, w.last().Body)
			}
		}
	}
}

func TestRecordsSayByWhatTheirAuthorsWereKnown(t *testing.T) {
	w := begun(t, rules)
	by := func(a changes.Actor, credential string) (changes.Actor, changes.Request) {
		a.Credential = credential
		return a, changes.NewRequest("", "hash", a)
	}
	p := w.agreed(withdrawal())
	author, request := by(ada, "token:a1")
	p.Request = request
	w.must(w.propose(author, p))
	approve := func(a changes.Actor, credential string) {
		a, request := by(a, credential)
		w.must(w.write(w.s.Approve(a, 2, p.Plan, "seen", request, w.flags, w.now)))
	}
	approve(bob, "user:bob")
	approve(eve, "certificate:c0ffee")

	var got []string
	for _, r := range w.records {
		got = append(got, r.Credential())
	}
	if diff := cmp.Diff([]string{"", "token:a1", "user:bob", "certificate:c0ffee"}, got); diff != "" {
		t.Error("the records say otherwise:", diff)
	}
	want := []changes.Approval{{By: "bob", At: w.now, Because: "seen", Credential: "user:bob"}, {By: "eve", At: w.now, Because: "seen", Credential: "certificate:c0ffee"}}
	c, _, _ := w.s.Change(2, nil, w.now)
	for what, approvals := range map[string][]changes.Approval{"the revision": w.s.Revision().Approvals, "the change": c.Approvals} {
		if diff := cmp.Diff(want, approvals); diff != "" {
			t.Error(what, "says otherwise:", diff)
		}
	}
	if strings.Contains(string(w.last().Body), `"credential"`) {
		t.Errorf("versions before can't read this: %s", w.last().Body)
	}
}
