package main

import (
	"context"
	"fmt"
)

// originBody is what the origin answers with, and what a served client must get.
const originBody = "Hello from the origin: a small page, like most answers of an API. 64 bytes are as good as any other number of bytes under 1500.\n"

// startOrigin runs an nginx that answers everything from memory, as fast as an
// origin can be: the benchmark is about what stands in front of it.
func startOrigin(ctx context.Context, f *fixture, core int) (*server, error) {
	dir, err := f.folder("origin")
	if err != nil {
		return nil, err
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	config, err := render(dir, "nginx.conf", originConfig, map[string]any{"Dir": dir, "Port": port, "Body": originBody})
	if err != nil {
		return nil, err
	}
	s, err := startServer(ctx, "origin", []string{"nginx", "-p", dir, "-c", config}, port, core)
	if err != nil {
		return nil, fmt.Errorf("origin: %w", err)
	}
	f.Origin = s.addr
	return s, nil
}

const originConfig = `
daemon off;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log stderr error;
events { worker_connections 10000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  keepalive_timeout 1h;
  client_body_temp_path {{.Dir}}/body;
  proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi;
  scgi_temp_path {{.Dir}}/scgi;
  default_type text/plain;
  server {
    listen 127.0.0.1:{{.Port}};
    location / { return 200 {{printf "%q" .Body}}; }
  }
}
`
