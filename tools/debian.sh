#!/bin/sh
# debian.sh PACKAGE...: install Debian packages, as root or through a sudo that asks nothing. Fails with one line where it may not.
set -eu
if ! command -v apt-get >/dev/null; then
    echo "outboard: install by hand what stands for Debian's: $*" >&2
    exit 1
elif [ "$(id -u)" = 0 ]; then
    root=env
elif sudo -n true 2>/dev/null; then
    root="sudo -n env"
else
    echo "outboard: not root and no sudo; please run: apt-get install $*" >&2
    exit 1
fi
echo "== apt-get install $*"
$root DEBIAN_FRONTEND=noninteractive apt-get update -q >/dev/null || true # an old list may do
$root DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null
