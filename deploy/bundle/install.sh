#!/bin/sh
# Installs SealWatch from this folder, without any network:  ./install.sh server|node [/opt/sealwatch]
set -eu
umask 022 # the service runs as another user than the one who installs
here=$(cd "$(dirname "$0")" && pwd)
what=${1:-}
prefix=${2:-/opt/sealwatch}
case $what in
  server) extras=${SEALWATCH_EXTRAS:-cloud,grafana,longtail} ;;
  node) extras=${SEALWATCH_EXTRAS:-edge} ;;
  *)
    echo "install.sh: say what this machine is: ./install.sh server|node [/opt/sealwatch]" >&2
    exit 2
    ;;
esac
wheels=$here/wheels/$(uname -m)
if [ ! -d "$wheels" ]; then
  echo "install.sh: this bundle has no packages for $(uname -m); make one on such a machine" >&2
  exit 1
fi
if ! (cd "$here" && sha256sum --quiet --check SHA256SUMS); then
  echo "install.sh: a file is not what it was when the bundle was made; copy the bundle again" >&2
  exit 1
fi
python=${PYTHON:-python3}
if ! "$python" -c 'import sys, ensurepip, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
  echo "install.sh: Python 3.11 or newer with venv is wanted (Debian: python3-venv); PYTHON= names another one" >&2
  exit 1
fi
"$python" -m venv "$prefix"
"$prefix/bin/python" -m pip install --quiet --disable-pip-version-check --no-index --find-links "$wheels" \
  --upgrade "sealwatch[$extras]"
if [ "$what" = node ] && [ -n "$(ls "$here/models" 2>/dev/null)" ]; then
  mkdir -p "$prefix/models"
  cp "$here"/models/* "$prefix/models/"
  echo "The person model is in $prefix/models: give the agent SEALWATCH_MODEL_DIR=$prefix/models"
fi
if [ "$prefix" = /opt/sealwatch ] && [ -w /usr/local/bin ]; then
  ln -sf "$prefix/bin/sealwatch" /usr/local/bin/sealwatch
fi
echo "$("$prefix/bin/sealwatch" --version) is installed in $prefix. Next: $here/deploy/README.md"
