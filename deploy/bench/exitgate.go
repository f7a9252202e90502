package main

import (
	"context"
	"fmt"
	"os/exec"
)

// exitgate is the gateway itself with one of its engines, from a binary or built for the
// occasion.
func exitgate(name, engine, binary string) peer {
	return peer{name: name, command: func(ctx context.Context, f *fixture, port int) ([]string, error) {
		dir, err := f.folder(name)
		if err != nil {
			return nil, err
		}
		binary := binary
		if binary == "" {
			binary = dir + "/exitgate"
			// The gateway is another module: the one that this folder is in.
			build := exec.CommandContext(ctx, "go", "build", "-C", "../..", "-o", binary, "./cmd/exitgate")
			if said, err := build.CombinedOutput(); err != nil {
				return nil, fmt.Errorf("go build: %w\n%s", err, said)
			}
		}
		policy, err := render(dir, "policy.yaml", exitgatePolicy, refusedCountry)
		if err != nil {
			return nil, err
		}
		config, err := render(dir, "exitgate.yaml", exitgateConfig, struct {
			*fixture
			Dir, Policy, Engine string
			Port                int
		}{f, dir, policy, engine, port})
		return []string{binary, "serve", "--config", config}, err
	}}
}

const exitgatePolicy = `
version: 1
jurisdictions:
  {{.}}: withdrawn
`

const exitgateConfig = `
listen: {https: "127.0.0.1:{{.Port}}", http: "", engine: {{.Engine}}}
apps: [{hosts: ["*"], upstreams: ["http://{{.Origin}}"]}]
tls: {files: [{cert: "{{.Cert}}", key: "{{.Key}}"}]}
trusted-proxies: ["127.0.0.0/8"]
geo: {databases: ["{{.Database}}"], hold: {coverage: 0, jurisdiction: 0}}
policy: {file: "{{.Policy}}"}
admin: {listen: ""}
data: "{{.Dir}}/data"
`
