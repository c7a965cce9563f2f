#!/bin/sh
# venv.sh DIR: make a virtual environment with pip in it. Debian's python3 without python3-venv has no ensurepip: there the pip that
# is installed puts one in (pip --python is no install into the system, so PEP 668 has no say), else python3-venv is installed.
set -eu
dir=$1
python=${PYTHON:-python3}
here=$(dirname "$0")

if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    echo "outboard: needs Python 3.11 or newer, $python is not; name another: make PYTHON=python3.12 …" >&2
    exit 1
fi
rm -rf "$dir"
if "$python" -c 'import ensurepip' 2>/dev/null && "$python" -m venv "$dir"; then
    exit
fi
rm -rf "$dir"
if "$python" -m venv --without-pip "$dir" && "$python" -m pip --python "$dir/bin/python" install -q pip; then
    exit
fi
rm -rf "$dir"
sh "$here/debian.sh" python3-venv
"$python" -m venv "$dir"
