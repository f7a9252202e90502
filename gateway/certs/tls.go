package certs

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"

	"github.com/exitgate/exitgate/internal/files"
)

// LoadPool reads certificate authorities from a PEM file. Without a file it
// returns nil, which stands for those of the system.
func LoadPool(file string) (*x509.CertPool, error) {
	if file == "" {
		return nil, nil
	}
	pem, err := files.Read(file, limit)
	if err != nil {
		return nil, fmt.Errorf("certificate authorities: %w", err)
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(pem) {
		return nil, fmt.Errorf("certificate authorities: there is no certificate in %s", file)
	}
	return pool, nil
}

// ClientTLS returns how to connect to a server that shows a certificate of the
// authorities in a file, the system's without one, and wants to see the
// client's certificate, if there is one.
func ClientTLS(authorities string, own Pair) (*tls.Config, error) {
	roots, err := LoadPool(authorities)
	if err != nil {
		return nil, err
	}
	config := &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	if own.Cert != "" {
		cert, err := load(own)
		if err != nil {
			return nil, fmt.Errorf("client %w", err)
		}
		config.Certificates = []tls.Certificate{cert}
	}
	return config, nil
}

// ServerTLS returns how to serve with a certificate of one's own, and only
// clients that show one of the authorities in a file.
func ServerTLS(own Pair, authorities string) (*tls.Config, error) {
	cert, err := load(own)
	if err != nil {
		return nil, err
	}
	clients, err := LoadPool(authorities)
	if err != nil {
		return nil, err
	}
	return &tls.Config{
		Certificates: []tls.Certificate{cert}, MinVersion: tls.VersionTLS13,
		ClientCAs: clients, ClientAuth: tls.RequireAndVerifyClientCert,
	}, nil
}
