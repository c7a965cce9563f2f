#!/bin/sh
# compiler.sh: have a C compiler and the headers of Python and C; what is missing is installed.
set -eu
python=${PYTHON:-python3}
here=$(dirname "$0")

compiles() {
    cc=${CC:-$("$python" -c 'import sysconfig; print(sysconfig.get_config_var("CC") or "cc")')}
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_path("include"))')
    echo '#include <Python.h>' | $cc -I"$include" -E - >/dev/null 2>&1
}

compiles || sh "$here/debian.sh" gcc libc6-dev python3-dev
compiles || {
    echo "outboard: still no C compiler that finds Python.h for $python" >&2
    exit 1
}
