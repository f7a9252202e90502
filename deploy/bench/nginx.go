package main

import "context"

// nginx is nginx with its GeoIP2 module, as Debian packages them.
func nginx() peer {
	return peer{
		name:  "nginx",
		needs: []program{{"nginx", "nginx"}, {nginxGeoIP2, "libnginx-mod-http-geoip2"}},
		command: func(_ context.Context, f *fixture, port int) ([]string, error) {
			dir, err := f.folder("nginx")
			if err != nil {
				return nil, err
			}
			config, err := render(dir, "nginx.conf", nginxConfig, struct {
				*fixture
				Dir, GeoIP2, Refused string
				Port                 int
			}{f, dir, nginxGeoIP2, refusedCountry, port})
			return []string{"nginx", "-p", dir, "-c", config}, err
		},
	}
}

// nginxGeoIP2 is where Debian installs the module. A relative path would mean
// the prefix that -p sets.
const nginxGeoIP2 = "/usr/lib/nginx/modules/ngx_http_geoip2_module.so"

// One cipher for all servers: AES-128-GCM, which Go prefers.
const nginxConfig = `
daemon off;
worker_processes 1;
pid {{.Dir}}/nginx.pid;
error_log stderr error;
load_module {{.GeoIP2}};
events { worker_connections 10000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {{.Dir}}/body;
  proxy_temp_path {{.Dir}}/proxy;
  fastcgi_temp_path {{.Dir}}/fastcgi;
  uwsgi_temp_path {{.Dir}}/uwsgi;
  scgi_temp_path {{.Dir}}/scgi;

  set_real_ip_from 127.0.0.0/8;
  real_ip_header X-Forwarded-For;
  real_ip_recursive on;

  geoip2 {{.Database}} {
    $country default=ZZ country iso_code;
  }
  map $country $withdrawn {
    default 0;
    {{.Refused}} 1;
  }
  upstream origin {
    server {{.Origin}};
    keepalive 4096;
    keepalive_requests 1000000000;
  }
  server {
    listen 127.0.0.1:{{.Port}} ssl http2;
    ssl_certificate {{.Cert}};
    ssl_certificate_key {{.Key}};
    ssl_protocols TLSv1.3;
    ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;

    if ($withdrawn) {
      return 451 "This service is not available in your country.\n";
    }
    location / {
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Forwarded-Host $host;
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header Market-Jurisdiction $country;
    }
  }
}
`
