package main

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/cmd/exitgate/messenger"
	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/config"
)

func newDemo() *cobra.Command {
	var listen, listenAdmin string
	var asJSON, traffic bool
	cmd := &cobra.Command{
		Use:   "demo",
		Short: "See it work: a sample app behind the gateway, and commands to try",
		Long: `Start a small messenger and put the gateway in front of it, with a policy that
has real countries in every phase. Loopback counts as a trusted proxy, so that
commands can claim to come from anywhere. Requests come in from random addresses of
the whole world, so that there is something to see in the console and the metrics.
Nothing is left behind.`,
		Example: "  exitgate demo",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := demo{listen: listen, admin: listenAdmin, json: asJSON, traffic: traffic, out: cmd.OutOrStdout(), log: cmd.ErrOrStderr()}
			return exitFailure(d.run(cmd.Context()))
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8443", "`address` for HTTPS, another port if it is in use")
	cmd.Flags().StringVar(&listenAdmin, "admin", "127.0.0.1:8600", "loopback `address` for metrics and health, another port if it is in use")
	cmd.Flags().BoolVar(&traffic, "traffic", true, "have people of the whole world ask, some twenty a second")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print what there is to try as JSON")
	return cmd
}

const trafficInterval = 50 * time.Millisecond

// A demo is the gateway in front of the messenger.
type demo struct {
	listen, admin string
	json, traffic bool
	out, log      io.Writer
	folder        string
}

func (d *demo) run(ctx context.Context) (err error) {
	d.folder, err = os.MkdirTemp("", "exitgate-demo-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(d.folder)) }()

	upstream, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	app := messenger.New(time.Now)
	served := make(chan error, 1)
	go func() { served <- app.Serve(upstream) }()
	defer func() { err = errors.Join(err, app.Close(), <-served) }()

	leaves := time.Now().Add(time.Minute).Truncate(time.Second).UTC()
	policyFile := filepath.Join(d.folder, "policy.yaml")
	if err := os.WriteFile(policyFile, demoPolicy(leaves, leaves), 0o600); err != nil {
		return err
	}
	refusedFile := filepath.Join(d.folder, "refused.yaml")
	if err := os.WriteFile(refusedFile, demoPolicy(leaves, leaves.Add(time.Hour)), 0o600); err != nil {
		return err
	}
	// What a start says is for operators; what happens afterwards is the show.
	level := new(slog.LevelVar)
	level.Set(slog.LevelError)
	g, err := gateway.New(gateway.Options{
		Config: d.config("h2c://"+upstream.Addr().String(), policyFile),
		Logger: slog.New(slog.NewTextHandler(d.log, &slog.HandlerOptions{Level: level})),
	})
	if err != nil {
		return err
	}
	at, err := g.Listen()
	if err != nil {
		return err
	}
	if err := d.introduce(at, policyFile, refusedFile, leaves); err != nil {
		return err
	}
	level.Set(slog.LevelInfo)
	if d.traffic {
		asking, stop := context.WithCancel(ctx)
		asked := make(chan struct{})
		go func() { sendTraffic(asking, "https://"+at.HTTPS, trafficInterval); close(asked) }()
		defer func() { stop(); <-asked }()
	}
	return g.Serve(ctx)
}

func (d *demo) config(upstream, policyFile string) config.Config {
	c := config.Default()
	c.Listen = config.Listen{HTTPS: addressOrFreePort(d.listen)}
	c.Admin.Listen = addressOrFreePort(d.admin)
	c.Apps = []config.App{{Hosts: []string{"*"}, Upstreams: []string{upstream}}}
	c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	c.Policy.File = policyFile
	c.Data = d.folder
	c.Drain = time.Second
	return c
}

// addressOrFreePort returns the address, with any free port if its own is in use.
func addressOrFreePort(address string) string {
	l, err := net.Listen("tcp", address)
	if err == nil {
		_ = l.Close() // it is only asked whether it could be opened
		return address
	}
	host, _, splitErr := net.SplitHostPort(address)
	if splitErr != nil {
		return address // let the gateway say what is wrong with it
	}
	return net.JoinHostPort(host, "0")
}

var (
	//go:embed demo/policy.yaml
	demoPolicyText string
	//go:embed demo/introduction.txt
	introductionText string
)

// demoPolicy is a policy with real countries in each phase. One of them
// leaves while people watch: if that is after a law there is in force, the
// policy is refused.
func demoPolicy(law, leaves time.Time) []byte {
	return fmt.Appendf(nil, demoPolicyText, law.Format(time.RFC3339), leaves.Format(time.RFC3339))
}

// A trial is a command to paste, and what it answers.
type trial struct {
	About   string `json:"about"`
	Command string `json:"command"`
	Answer  string `json:"answer"`
}

// trials are what the demo proposes to try, at the addresses of its listeners.
func trials(url, admin string) []trial {
	status := ` -o /dev/null -w '%{http_code}\n'`
	from := func(address, path, more string) string {
		return fmt.Sprintf("curl -sk %s%s -H 'X-Forwarded-For: %s'%s", url, path, address, more)
	}
	return []trial{
		{"from Germany, which the policy doesn't name: all is served",
			from("91.0.0.1", "/", ""),
			"Hello from the messenger. Your jurisdiction is DE, its phase open."},
		{"from France, which is withdrawn: a notice, in French",
			from("90.0.0.1", "/", " | head -1"),
			"Ce service n’est pas disponible ici"},
		{"the same for a program",
			from("90.0.0.1", "/api/messages", " -H 'Accept: application/json'"+status),
			"451"},
		{"from France, what everyone may always read",
			from("90.0.0.1", "/legal/", ""),
			"This messenger is a sample. It keeps nothing beyond its own end."},
		{"from Italy, where the end is announced: all is served, and the app is told",
			from("151.30.0.1", "/", ""),
			"Hello from the messenger. Your jurisdiction is IT, its phase announced."},
		{"from Spain, which is closed to new users: no sign-up",
			from("80.24.0.1", "/signup", " -d name=ana"+status),
			"451"},
		{"from Spain, all else",
			from("80.24.0.1", "/", ""),
			"Hello from the messenger. Your jurisdiction is ES, its phase closed-to-new."},
		{"from the Netherlands, which winds down: no messages",
			from("145.53.0.1", "/api/messages", status),
			"451"},
		{"from the Netherlands, the export of one's own data (the app asks to sign in)",
			from("145.53.0.1", "/account/export", status),
			"401"},
		{"from Canada, where one feature is withdrawn: no live messages",
			from("99.224.0.1", "/api/events", status),
			"451"},
		{"from nowhere that the database knows",
			from("192.0.2.1", "/", ""),
			"Hello from the messenger. Your jurisdiction is unlocated, its phase open."},
		{"a gRPC call from France: PERMISSION_DENIED",
			from("90.0.0.1", "/messenger.v1.Messenger/Send", " -H 'Content-Type: application/grpc' --data-binary '' -D - -o /dev/null | grep -o 'grpc-status: 7'"),
			"grpc-status: 7"},
		{"because of what law, and against what promise",
			from("90.0.0.1", "/", " -H 'Accept: application/json' -H 'Accept-Language: en' | grep encrypted"),
			`"Private messages are end-to-end encrypted."`},
		{"what the app is told of a flag in Germany, by OpenFeature's protocol (OFREP)",
			"curl -s " + admin + `/ofrep/v1/evaluate/flags/link-previews --json '{"context": {"jurisdiction": "DE"}}'`,
			`{"key":"link-previews","value":false,"reason":"STATIC"}`},
		{"a path that can be read two ways",
			from("80.24.0.1", "/%2e/signup", " -d name=ana"+status),
			"400"},
	}
}

var introduction = template.Must(template.New("demo").Parse(introductionText))

// introduce says what there is to see.
func (d *demo) introduce(at gateway.Addresses, policyFile, refusedFile string, leaves time.Time) error {
	url, admin := "https://"+strings.Replace(at.HTTPS, "127.0.0.1", "localhost", 1), "http://"+at.Admin
	program, err := os.Executable()
	if err != nil {
		program = "exitgate"
	}
	seen := demoInfo{url, admin, policyFile, refusedFile, program, d.folder, leaves, trials(url, admin)}
	if d.json {
		return writeJSON(d.out, seen)
	}
	return introduction.Execute(d.out, seen)
}

// demoInfo are what there is to see.
type demoInfo struct {
	URL     string    `json:"url"`
	Admin   string    `json:"admin"`
	Policy  string    `json:"policy"`
	Refused string    `json:"refused-policy"` // a policy that is not taken
	Program string    `json:"program"`        // what checks it
	Data    string    `json:"data"`           // its data folder, for the console
	Leaves  time.Time `json:"portugal-leaves"`
	Trials  []trial   `json:"try"`
}
