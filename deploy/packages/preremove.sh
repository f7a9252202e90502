#!/bin/sh
# dpkg says "remove", rpm says that 0 versions are left; else it is an upgrade.
set -e
if [ "$1" = remove ] || [ "$1" = 0 ]; then
	if [ -z "$DPKG_ROOT" ] && [ -d /run/systemd/system ]; then
		systemctl disable --now exitgate.service
	fi
fi
