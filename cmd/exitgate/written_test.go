package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/exitgate/exitgate/gateway/ledger/ledgertest"
	"github.com/exitgate/exitgate/internal/testkit"
)

// When the program of commit 803cf21 was asked what is recorded in
// internal/testkit/written.
const writtenAt = "2026-11-20T09:00:00Z"

// TestADataFolderOfAnEarlierCommitIsTakenOver starts a gateway on each data
// folder that commit 803cf21 has written. It decides, and says of the ledger,
// its changes and principals, what the gateway of that commit did.
func TestADataFolderOfAnEarlierCommitIsTakenOver(t *testing.T) {
	if testing.Short() {
		t.Skip("starts gateways")
	}
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		folder := testkit.Unpack(t, "803cf21/embedded.tar.gz")
		g := startWritten(t, filepath.Join(folder, "embedded"), "{}", `flags: {ofrep: {url: "http://127.0.0.1:1"}}`)
		g.compare("803cf21/embedded")
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		folder := testkit.Unpack(t, "803cf21/cluster.tar.gz")
		server := ledgertest.StartOn(t, filepath.Join(folder, "nats"))
		g := startWritten(t, filepath.Join(folder, "cluster"), fmt.Sprintf("{ledger: {nats: [%q], replicas: 1}}", server.URL), "")
		g.compare("803cf21/cluster")
	})
	t.Run("cluster without its ledger", func(t *testing.T) {
		t.Parallel()
		folder := testkit.Unpack(t, "803cf21/cluster.tar.gz")
		g := startWritten(t, filepath.Join(folder, "cluster"), `{ledger: {nats: ["nats://127.0.0.1:1"], replicas: 1}}`, "")
		g.compareDecisions("803cf21/cluster")
	})
	t.Run("file", func(t *testing.T) {
		t.Parallel()
		folder := testkit.Unpack(t, "803cf21/file.tar.gz")
		file := filepath.Join(folder, "policy.yaml")
		testkit.WriteFile(t, file, string(testkit.Written(t, "803cf21/policy.yaml")))
		g := startWritten(t, filepath.Join(folder, "file"), fmt.Sprintf("{file: %q}", file), "")
		g.compare("803cf21/file")
	})
	t.Run("file that is gone", func(t *testing.T) {
		t.Parallel()
		folder := testkit.Unpack(t, "803cf21/file.tar.gz")
		file := filepath.Join(folder, "policy.yaml")
		testkit.WriteFile(t, file, "version: 1\nnonsense: true\n")
		g := startWritten(t, filepath.Join(folder, "file"), fmt.Sprintf("{file: %q}", file), "")
		g.compareDecisions("803cf21/file")
	})
}

// A writtenGateway is a gateway on a data folder that was written before.
type writtenGateway struct {
	t                  *testing.T
	program            string
	data, https, admin string
	client             *http.Client
	stop               func() // waits until it has ended
}

// startWritten starts a gateway on a data folder, with its clock at writtenAt,
// until the test ends.
func startWritten(t *testing.T, data, source, more string) *writtenGateway {
	t.Helper()
	return startProgram(t, "exitgate", data, source, more)
}

// startProgram is startWritten with a program that may be an earlier one.
func startProgram(t *testing.T, program, data, source, more string) *writtenGateway {
	t.Helper()
	app := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(app.Close)
	file := func(name string) string { return filepath.Join(filepath.Dir(data), name) }
	testkit.WriteFile(t, file("clock"), writtenAt)
	testkit.WriteFile(t, file("geo.mmdb"), string(testkit.Written(t, "803cf21/geo.mmdb")))
	hold := ", hold: {coverage: 0, jurisdiction: 0}" // the database is small
	if program != "exitgate" {
		hold = "" // an earlier one doesn't know it
	}
	testkit.WriteFile(t, file("exitgate.yaml"), fmt.Sprintf(`listen: {https: "127.0.0.1:0", http: ""}
admin: {listen: "127.0.0.1:0"}
apps: [{hosts: ["*"], upstreams: [%q]}]
trusted-proxies: [127.0.0.0/8]
geo: {databases: [%q]%s}
policy: %s
data: %q
drain: 1s
%s
`, app.URL, file("geo.mmdb"), hold, source, data, more))

	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, program, "serve", "--config", file("exitgate.yaml"), "--log-format", "json")
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Env = append(os.Environ(), clockFile+"="+file("clock"))
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	g := &writtenGateway{t: t, program: program, data: data, client: &http.Client{Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
	}}}
	var log testkit.Buffer
	type addresses struct{ Msg, HTTPS, Admin string }
	serving, ended := make(chan addresses, 1), make(chan struct{})
	go func() {
		defer close(ended)
		for lines := bufio.NewScanner(io.TeeReader(stderr, &log)); lines.Scan(); {
			var line addresses
			if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "serving" {
				serving <- line
			}
		}
	}()
	g.stop = sync.OnceFunc(func() {
		g.client.CloseIdleConnections()
		stop()
		<-ended
		_ = cmd.Wait() // it was interrupted
	})
	t.Cleanup(func() {
		g.stop()
		if code := cmd.ProcessState.ExitCode(); code != exitDone || t.Failed() {
			t.Errorf("the gateway ended with %d, and its log is:\n%s", code, log.String())
		}
	})
	select {
	case at := <-serving:
		g.https, g.admin = at.HTTPS, at.Admin
	case <-ended:
		t.Fatal("the gateway didn't start")
	}
	return g
}

// compare holds all that a gateway says against what is recorded in a folder.
func (g *writtenGateway) compare(recorded string) {
	g.t.Helper()
	for name, args := range map[string][]string{
		"status":     {"status"},
		"log":        {"log", "--limit", "200"},
		"verify":     {"log", "--verify"},
		"changes":    {"changes"},
		"principals": {"principal"},
	} {
		want, got := testkit.WrittenJSON[any](g.t, recorded+"/"+name+".json"), g.says(args...)
		was, is := withoutSteps(facts(want[0])), withoutSteps(facts(got))
		if diff := cmp.Diff(was, known(was, is)); diff != "" {
			g.t.Errorf("exitgate %s says otherwise (-recorded +now)\n%s", strings.Join(args, " "), diff)
		}
	}
	g.compareDecisions(recorded)
}

// says returns what a command that asks the gateway says as JSON.
func (g *writtenGateway) says(args ...string) (said any) {
	g.t.Helper()
	out, _ := runAt(g.t, append(args, "--json", "--data", g.data)...)
	if err := json.Unmarshal(out, &said); err != nil {
		g.t.Fatalf("exitgate %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return said
}

// runAt runs a command by the clock of the recordings, and returns what it
// prints, and its exit code.
func runAt(t *testing.T, args ...string) ([]byte, int) {
	t.Helper()
	at, err := time.Parse(time.RFC3339, writtenAt)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	code := run(t.Context(), func() time.Time { return at }, args, nil, &out, io.Discard)
	return out.Bytes(), code
}

// A writtenDecision is a line of decisions.jsonl.
type writtenDecision struct {
	File, Address, Request string
	Status                 int
	Place, Class, Decision any
	Flags                  map[string]any
}

// compareDecisions holds what a gateway decides against what is recorded in a
// folder, by its explanations and by what clients get.
func (g *writtenGateway) compareDecisions(recorded string) {
	g.t.Helper()
	all := testkit.WrittenJSON[writtenDecision](g.t, recorded+"/decisions.jsonl")
	if len(all) < 50 {
		g.t.Fatalf("only %d decisions are recorded", len(all))
	}
	for _, want := range all {
		got := writtenDecision{Address: want.Address, Request: want.Request}
		method, path, _ := strings.Cut(want.Request, " ")
		explained, err := json.Marshal(g.says("explain", want.Address, "--method", method, "--path", path))
		if err != nil {
			g.t.Fatal(err)
		}
		if err := json.Unmarshal(explained, &got); err != nil {
			g.t.Fatal(err)
		}
		got.Request, got.Status = want.Request, g.status(method, path, want.Address)
		if want.Status == http.StatusBadGateway {
			want.Status = http.StatusOK // it was forwarded, and there was no app
		}
		if want.Flags == nil {
			got.Flags = nil // recorded only once
		}
		if diff := cmp.Diff(want, got); diff != "" {
			g.t.Errorf("%s from %s is decided otherwise (-recorded +now)\n%s", want.Request, want.Address, diff)
		}
	}
}

// status returns the status that a client gets.
func (g *writtenGateway) status(method, path, address string) int {
	g.t.Helper()
	r, err := http.NewRequestWithContext(g.t.Context(), method, "https://"+g.https+path, nil)
	if err != nil {
		g.t.Fatal(err)
	}
	r.Header.Set("X-Forwarded-For", address)
	res, err := g.client.Do(r)
	if err != nil {
		g.t.Fatal(err)
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body) // to use the connection again
	return res.StatusCode
}

// facts returns of a decoded JSON value what is no prose and doesn't depend on
// the machine.
func facts(value any) any {
	switch value := value.(type) {
	case []any:
		all := make([]any, len(value))
		for i, v := range value {
			all[i] = facts(v)
		}
		return all
	case map[string]any:
		kept := map[string]any{}
		for name, v := range value {
			if !slices.Contains([]string{
				"advice", "detail", "how", "message", "summary", "title", "why", // prose
				"applied", "connected", "file", "host", "type", "version", "you", // of the machine
			}, name) {
				kept[name] = facts(v)
			}
		}
		if checks, ok := kept["checks"].(map[string]any); ok {
			for name := range checks {
				if strings.HasPrefix(name, "geo ") {
					delete(checks, name) // with the file's name
				}
			}
		}
		return kept
	default:
		return value
	}
}

// withoutSteps returns what a gateway says without what it adds to the ledger by itself:
// what took place before it was there to record it.
func withoutSteps(said any) any {
	all, _ := said.(map[string]any)
	if records, isLog := all["records"].([]any); isLog {
		all["records"] = slices.DeleteFunc(records, func(r any) bool { return r.(map[string]any)["took"] != nil })
	}
	if _, isVerification := all["wrong"]; isVerification { // the log has the hashes
		delete(all, "records")
		delete(all, "last")
		delete(all, "hash")
	}
	if ledger, isStatus := all["ledger"].(map[string]any); isStatus {
		delete(ledger, "last")
	}
	return said
}

// known returns of a JSON value the members that an earlier one has, too: later
// versions add some.
func known(earlier, now any) any {
	switch now := now.(type) {
	case []any:
		all, was := slices.Clone(now), []any(nil)
		if list, ok := earlier.([]any); ok && len(list) == len(now) {
			was = list
		}
		for i := range was {
			all[i] = known(was[i], now[i])
		}
		return all
	case map[string]any:
		was, ok := earlier.(map[string]any)
		if !ok {
			return now
		}
		kept := map[string]any{}
		for name, v := range now {
			if _, ok := was[name]; ok {
				kept[name] = known(was[name], v)
			}
		}
		return kept
	default:
		return now
	}
}

// TestPoliciesOfAnEarlierCommitMeanTheSame checks the policies that commit
// 803cf21 accepted, and holds what they mean against what it said.
// refusedSince are the documents of 803cf21 that check refuses by now, as rules
// for new policies have come.
var refusedSince = map[string]bool{
	// A binding demand says which territories it reaches.
	"every-section.yaml": true,
	"promise.yaml":       true,
}

// withoutNewWarnings leaves out of what check says the warnings that it didn't
// give before.
func withoutNewWarnings(earlier, now any) any {
	was, _ := earlier.(map[string]any)["warnings"].([]any)
	got, _ := now.(map[string]any)["warnings"].([]any)
	var kept []any
	for _, warning := range was {
		if slices.ContainsFunc(got, func(g any) bool { return cmp.Equal(g, warning) }) {
			kept = append(kept, warning)
		}
	}
	if kept != nil {
		now.(map[string]any)["warnings"] = kept
	} else if was == nil {
		delete(now.(map[string]any), "warnings")
	}
	return now
}

func TestPoliciesOfAnEarlierCommitMeanTheSame(t *testing.T) {
	folder := t.TempDir()
	for _, name := range testkit.WrittenFiles(t, "803cf21/documents/*.yaml") {
		file := filepath.Join(folder, path.Base(name))
		testkit.WriteFile(t, file, string(testkit.Written(t, name)))
		out, code := runAt(t, "check", file, "--json", "--at", writtenAt)
		var got any
		if err := json.Unmarshal(out, &got); err != nil || (code != exitDone) != refusedSince[path.Base(name)] {
			t.Errorf("check of %s ends with %d: %s", name, code, out)
			continue
		}
		if code != exitDone {
			continue // what it decides is below: what stands is still read
		}
		want := testkit.WrittenJSON[any](t, strings.TrimSuffix(name, ".yaml")+".json")[0]
		if diff := cmp.Diff(facts(want), withoutNewWarnings(facts(want), known(facts(want), facts(got)))); diff != "" {
			t.Errorf("check says otherwise of %s (-recorded +now)\n%s", name, diff)
		}
	}
	type decision struct {
		File, Place, Request string
		Class, Decision      any
	}
	for _, want := range testkit.WrittenJSON[decision](t, "803cf21/documents/decisions.jsonl") {
		method, path, _ := strings.Cut(want.Request, " ")
		out, _ := runAt(t, "explain", want.Place, "--policy", filepath.Join(folder, want.File), "--at", writtenAt, "--method", method, "--path", path, "--json")
		var got struct{ Class, Decision any }
		if want.File == "alias.yaml" && want.Place == "RE" {
			continue // its entry FR-974 is about Réunion by now, which it withdraws
		}
		if err := json.Unmarshal(out, &got); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if diff := cmp.Diff(want, decision{want.File, want.Place, want.Request, got.Class, got.Decision}); diff != "" {
			t.Errorf("%s: %s in %s is decided otherwise (-recorded +now)\n%s", want.File, want.Request, want.Place, diff)
		}
	}
}
