#!/bin/sh
# The data folder stays, also when the package is purged: it holds the ledger.
set -e
if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
	systemctl daemon-reload
fi
