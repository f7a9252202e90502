package main

import "context"

// haproxy is HAProxy with the countries as a map.
func haproxy() peer {
	return peer{
		name:  "haproxy",
		needs: []program{{"haproxy", "haproxy"}},
		command: func(_ context.Context, f *fixture, port int) ([]string, error) {
			dir, err := f.folder("haproxy")
			if err != nil {
				return nil, err
			}
			policy, err := render(dir, "policy.map", "{{.}} withdrawn\n", refusedCountry)
			if err != nil {
				return nil, err
			}
			config, err := render(dir, "haproxy.cfg", haproxyConfig, struct {
				*fixture
				Policy string
				Port   int
			}{f, policy, port})
			return []string{"haproxy", "-f", config}, err
		},
	}
}

const haproxyConfig = `
global
  nbthread 1
  maxconn 4096

defaults
  mode http
  timeout connect 5s
  timeout client 1m
  timeout server 1m
  option http-keep-alive
  http-reuse always

frontend service
  bind 127.0.0.1:{{.Port}} ssl crt {{.Pair}} alpn h2,http/1.1 ssl-min-ver TLSv1.3 ciphersuites TLS_AES_128_GCM_SHA256
  http-request set-src hdr_ip(x-forwarded-for,-1) if { src 127.0.0.0/8 }
  http-request set-var(txn.country) src,map_ip({{.Map}},ZZ)
  http-request return status 451 content-type text/plain string "This service is not available in your country." if { var(txn.country),map({{.Policy}},open) -m str withdrawn }
  http-request set-header X-Forwarded-Proto https
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-header X-Request-Id %[uuid]
  http-request set-header Market-Jurisdiction %[var(txn.country)]
  option forwardfor
  default_backend origin

backend origin
  server origin {{.Origin}}
`
