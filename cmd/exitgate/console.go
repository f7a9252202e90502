package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/exec"
	"runtime"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/exitgate/exitgate/gateway/admin/api"
	"github.com/exitgate/exitgate/internal/loopback"
)

func newConsole() *cobra.Command {
	var o consoleOptions
	cmd := &cobra.Command{
		Use:   "console",
		Short: "Open the web console, signed in",
		Long: `Open the web console in a browser, signed in as who you are here: by a link that
works once, within a minute.

Over the socket, the console is served on a loopback port of this command's own, for
as long as it runs: end it with Ctrl-C. With --api the link is to that address, and
the command ends.

Exit codes: 0 done, 1 failed, 2 usage.`,
		Example: `  exitgate console
  exitgate console --no-browser
  exitgate console --api http://127.0.0.1:8600 --token-file anna.token`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := o.open()
			if err != nil {
				return err
			}
			return commandError(cmd, false, o.run(cmd, c))
		},
	}
	o.register(cmd)
	cmd.Flags().BoolVar(&o.noBrowser, "no-browser", false, "only print the link")
	return cmd
}

type consoleOptions struct {
	connection
	noBrowser bool
}

func (o *consoleOptions) run(cmd *cobra.Command, c *client) error {
	link, err := decode[api.ConsoleLink](c.send(cmd.Context(), request{method: http.MethodPost, path: "/v1/console/links"}))
	if err != nil {
		return err
	}
	if c.socket == "" {
		return o.show(cmd, c.base+link.Path)
	}
	l, err := (&net.ListenConfig{}).Listen(cmd.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: newConsoleProxy(c), ReadHeaderTimeout: dialTimeout}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	if err := o.show(cmd, fmt.Sprintf("http://%s%s", l.Addr(), link.Path)); err != nil {
		return errors.Join(err, server.Close())
	}
	fmt.Fprintln(cmd.ErrOrStderr(), "The console is served until you end this command with Ctrl-C.")
	select {
	case err := <-served:
		return err
	case <-cmd.Context().Done():
		return server.Close()
	}
}

// show prints a link, and opens it.
func (o *consoleOptions) show(cmd *cobra.Command, link string) error {
	fmt.Fprintln(cmd.OutOrStdout(), link)
	if o.noBrowser {
		return nil
	}
	program, arguments := "xdg-open", []string{link}
	switch runtime.GOOS {
	case "darwin":
		program = "open"
	case "windows":
		program, arguments = "rundll32", []string{"url.dll,FileProtocolHandler", link}
	}
	ctx, cancel := context.WithTimeout(cmd.Context(), browserTime)
	defer cancel()
	if err := exec.CommandContext(ctx, program, arguments...).Run(); err != nil {
		fmt.Fprintln(cmd.ErrOrStderr(), "No browser could be opened: open the link above yourself, within a minute.")
	}
	return nil
}

const browserTime = 10 * time.Second

// newConsoleProxy passes on what is of the console to the gateway's socket, and nothing
// else: there, whoever asks for the API is the user of this command. The console doesn't
// go by that, but by its own sessions.
func newConsoleProxy(c *client) http.Handler {
	target := &url.URL{Scheme: "http", Host: "localhost"}
	proxy := &httputil.ReverseProxy{
		Transport: c.http.Transport,
		Rewrite: func(r *httputil.ProxyRequest) {
			r.SetURL(target)
			r.Out.Host = r.In.Host // as the browser says in Origin
		},
		ErrorHandler: func(w http.ResponseWriter, _ *http.Request, err error) {
			http.Error(w, "The gateway can't be reached: "+err.Error(), http.StatusBadGateway)
		},
		ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError), // the page says it
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		host, _, err := net.SplitHostPort(r.Host)
		switch {
		case err != nil || !loopback.IsHost(host): // a name that was made to point here
			http.Error(w, "This is not a host that is served here.", http.StatusMisdirectedRequest)
		case !isOfConsole(r.URL.Path):
			http.NotFound(w, r)
		default:
			proxy.ServeHTTP(w, r)
		}
	})
}

// isOfConsole reports whether a path is a page of the console, and not of what is beside
// it on the admin listener.
func isOfConsole(path string) bool {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch first {
	case "", "assets", "sign-in", "sign-out", "live", "markets", "emergency", "changes", "demands", "explain", "log", "revisions", "account":
		return !strings.Contains(path, "//") && !strings.Contains(path, "/.")
	}
	return false
}
