package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway"
	"github.com/exitgate/exitgate/gateway/config"
	"github.com/exitgate/exitgate/internal/files"
	"github.com/exitgate/exitgate/internal/strictyaml"
	"github.com/exitgate/exitgate/internal/systemd"
	"github.com/exitgate/exitgate/internal/watch"
)

func newServe(now func() time.Time) *cobra.Command {
	o := serveOptions{now: now}
	cmd := &cobra.Command{
		Use:   "serve",
		Short: "Run the gateway",
		Long: `Run the gateway in front of an app.

Without a policy file the policy is kept in a ledger in the data folder: it
begins with one that serves everywhere, and is changed with exitgate set and
exitgate apply. Without certificates, and without --acme, the gateway makes one of its own;
without a database it locates clients by the embedded one. Changes of the policy,
the databases and the certificates are taken into use while it runs, and something
wrong among them leaves what is in use as it is.

Settings come from the file given with --config; flags go before it. Names of files
in it are relative to its folder. Every setting is described by: exitgate schema config

When that file changes, and on SIGHUP, it is read again. Apps, trusted proxies,
certificates and some limits change without a restart; where anything is wrong with
the file, or takes a restart, nothing of it is taken, and the log says what it is. On
SIGHUP the access log is opened again, too.`,
		Example: `  exitgate serve --to http://127.0.0.1:3000
  exitgate serve --to http://127.0.0.1:3000 --host example.org --acme ops@example.org
  exitgate serve --to http://127.0.0.1:3000 --policy policy.yaml --listen :443
  exitgate serve --config /etc/exitgate/exitgate.yaml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.serve(cmd)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.config, "config", "", "`file` with settings")
	f.StringSliceVar(&o.to, "to", nil, "`URL` of the app, as http://127.0.0.1:3000; several share the load")
	f.StringSliceVar(&o.hosts, "host", nil, "host `name` that the app is served at (default any)")
	f.StringVar(&o.listen, "listen", "", "`address` for HTTPS (default :8443)")
	f.StringVar(&o.listenHTTP, "listen-http", "", "`address` of the listener that redirects to HTTPS (default :8080)")
	f.StringVar(&o.acme, "acme", "", "obtain certificates for the hosts, with an account of this `address` for mail, and agree to the authority's terms; listens at :443 and :80 unless told otherwise")
	f.StringVar(&o.acmeDirectory, "acme-directory", "", "`URL` of the authority's ACME directory (default Let's Encrypt)")
	f.StringVar(&o.policy, "policy", "", "`file` with the policy (default: it is in the ledger)")
	f.StringSliceVar(&o.geo, "geo", nil, "`file` of a MaxMind DB database; may be repeated")
	f.StringSliceVar(&o.trusted, "trusted-proxy", nil, "`CIDR` whose word is taken for whom a request comes from")
	f.StringVar(&o.admin, "admin", "", "loopback `address` for the API, metrics and health (default 127.0.0.1:8600)")
	f.StringVar(&o.data, "data", "", "`folder` for what the gateway keeps")
	f.StringVar(&o.logFormat, "log-format", "", "text or json (default text on a terminal, else json)")
	f.BoolVar(&o.json, "json", false, "short for --log-format json")
	cmd.MarkFlagsMutuallyExclusive("log-format", "json")
	for _, file := range []string{"config", "policy", "geo"} {
		_ = cmd.MarkFlagFilename(file) // the flags exist
	}
	_ = cmd.MarkFlagDirname("data")
	_ = cmd.RegisterFlagCompletionFunc("log-format", cobra.FixedCompletions([]string{"text", "json"}, cobra.ShellCompDirectiveNoFileComp))
	return cmd
}

type serveOptions struct {
	config, listen, listenHTTP, acme, acmeDirectory, policy, admin, data, logFormat string
	to, hosts, geo, trusted                                                         []string
	json                                                                            bool
	now                                                                             func() time.Time

	text []byte // of the settings file, as it was read last
}

// readSettings reads a file of settings, and returns its text, too; "" are the defaults.
func readSettings(file string) (c config.Config, text []byte, err error) {
	if file == "" {
		return config.Default(), nil, nil
	}
	text, err = readFile(file)
	if err != nil {
		return config.Config{}, nil, exitFailure(fmt.Errorf("settings: %w", err))
	}
	c, err = config.Parse(file, text)
	return c, text, exitFailure(err)
}

// settings reads the settings file, if there is one, keeps its text, and puts the flags in
// front of it.
func (o *serveOptions) settings(cmd *cobra.Command) (config.Config, error) {
	c, text, err := readSettings(o.config)
	if err != nil {
		return c, err
	}
	o.text = text
	set := cmd.Flags().Changed
	if set("to") {
		hosts := o.hosts
		if len(hosts) == 0 {
			hosts = []string{"*"}
		}
		c.Apps = []config.App{{Hosts: hosts, Upstreams: o.to}}
	} else if set("host") {
		return c, errors.New("--host says where the app of --to is served: give --to too")
	}
	if set("acme") {
		c.TLS.ACME.Email = o.acme
		if o.config == "" {
			c.Listen = config.Listen{HTTPS: ":443", HTTP: config.Plain{Address: ":80"}} // where authorities look
		}
	}
	for _, f := range []struct {
		name  string
		value string
		into  *string
	}{
		{"listen", o.listen, &c.Listen.HTTPS},
		{"listen-http", o.listenHTTP, &c.Listen.HTTP.Address},
		{"acme-directory", o.acmeDirectory, &c.TLS.ACME.Directory},
		{"policy", o.policy, &c.Policy.File},
		{"admin", o.admin, &c.Admin.Listen},
		{"data", o.data, &c.Data},
	} {
		if set(f.name) {
			*f.into = f.value
		}
	}
	c.Data = cmp.Or(c.Data, os.Getenv("EXITGATE_DATA"))
	if set("geo") {
		c.Geo.Databases = o.geo
	}
	if set("trusted-proxy") {
		c.TrustedProxies = nil
		for _, text := range o.trusted {
			prefix, err := netip.ParsePrefix(text)
			if err != nil {
				return c, fmt.Errorf("--trusted-proxy: %q is not a network: write it as 10.0.0.0/8", text)
			}
			c.TrustedProxies = append(c.TrustedProxies, prefix)
		}
	}
	if len(c.Apps) == 0 {
		return c, errors.New("what should the gateway stand in front of? give --to, as in --to http://127.0.0.1:3000, or a settings file with --config")
	}
	return c, nil
}

func (o *serveOptions) serve(cmd *cobra.Command) error {
	// Neither a terminal that goes away ends it, nor a reader of its logs.
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE)
	if o.json {
		o.logFormat = "json"
	}
	logger, err := newLogger(cmd.ErrOrStderr(), o.logFormat)
	if err != nil {
		return err
	}
	c, err := o.settings(cmd)
	if err != nil {
		return err
	}
	sockets, err := systemd.Sockets()
	if err != nil {
		return err
	}
	g, err := gateway.New(gateway.Options{Config: c, Logger: logger, Now: o.now, Sockets: sockets})
	if err != nil {
		return exitFailure(err)
	}
	at, err := g.Listen()
	if err != nil {
		return exitFailure(err)
	}
	logger.Info("serving", "https", at.HTTPS, "http3", at.HTTP3, "http", at.HTTP, "decisions", at.Decisions, "admin", at.Admin, "probes", at.Probes, "socket", at.Socket)
	// Who connects from now on is accepted.
	tell := func(state string) {
		if err := systemd.Notify(state); err != nil {
			logger.Warn("the service manager can't be told how the gateway is", "state", state, "error", err)
		}
	}
	tell(systemd.Ready)
	told := make(chan struct{})
	unneeded := context.AfterFunc(cmd.Context(), func() {
		tell(systemd.Stopping)
		close(told)
	})
	go o.followSettings(cmd, g, hangups, logger)
	err = g.Serve(forceable(cmd.Context()))
	if !unneeded() {
		<-told
	}
	return exitFailure(err)
}

// followSettings has the gateway read its settings again when their file changes, and at
// each SIGHUP, at which the access log is opened again, too; until the command's context
// ends.
func (o *serveOptions) followSettings(cmd *cobra.Command, g *gateway.Gateway, hangups <-chan os.Signal, log *slog.Logger) {
	ctx := cmd.Context()
	reload := o.reloader(cmd, g)
	if file, err := os.Stat(o.config); err == nil && file.Mode().IsRegular() {
		go watch.Files(ctx, []string{o.config}, watch.Options{Logger: log}, reload)
	} else { // a pipe can't be read again
		reload = func() { log.Info("settings not read again, as they are not in a file: there is no --config") }
	}
	for {
		select {
		case <-ctx.Done():
			return
		case <-hangups:
			log.Info("SIGHUP received")
			g.ReopenAccessLog()
			reload()
		}
	}
}

// reloader returns what has the gateway read its settings again, unless their file looks
// cut off. It may be called concurrently.
func (o *serveOptions) reloader(cmd *cobra.Command, g *gateway.Gateway) func() {
	var mu sync.Mutex // guards what follows
	var inPlace files.InPlace
	inPlace.Look(o.config)
	inUse := o.text
	return func() {
		mu.Lock()
		defer mu.Unlock()
		same := inPlace.Look(o.config)
		err := g.Reload(func() (config.Config, error) {
			c, err := o.settings(cmd)
			if err != nil {
				return c, err
			}
			if err := files.CheckWhole(inUse, o.text, same); err != nil {
				return c, fmt.Errorf("settings: %s: %w", o.config, err)
			}
			return c, nil
		})
		if err == nil { // else it has logged why not
			inUse = o.text
		}
	}
}

// forceable returns a context that ends with ctx, and makes a second signal
// end the process at once, for who doesn't want to wait for the drain.
func forceable(ctx context.Context) context.Context {
	context.AfterFunc(ctx, func() {
		second := make(chan os.Signal, 1)
		signal.Notify(second, os.Interrupt, syscall.SIGTERM)
		go func() {
			<-second
			os.Exit(exitFailed)
		}()
	})
	return ctx
}

func newLogger(w io.Writer, format string) (*slog.Logger, error) {
	if format == "" {
		format = "json"
		if isTerminal(w) {
			format = "text"
		}
	}
	switch format {
	case "text":
		return slog.New(slog.NewTextHandler(w, nil)), nil
	case "json":
		return slog.New(slog.NewJSONHandler(w, nil)), nil
	}
	return nil, fmt.Errorf("--log-format is text or json, not %q", format)
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// readFile reads a document, up to the limit that it may have.
func readFile(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// One byte more than allowed, so that who parses it says what is wrong.
	return io.ReadAll(io.LimitReader(f, strictyaml.Limit+1))
}
