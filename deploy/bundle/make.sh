#!/usr/bin/env bash
# Everything that a county without the Internet needs, in one folder and one archive: make bundle
#
#   wheels/<machine>/   Python packages: for this machine service and agent, for aarch64 (a Raspberry Pi) the agent
#   models/             the person model, built and ready
#   deploy/, docs/      configuration files and what is written about them; dashboards among them
#   images.txt          the container images of compose.yaml, with digests where an engine could tell them
#   images/             those images themselves, where an engine could save them
#   install.sh          installs from here alone;  SHA256SUMS  what it checks first
#
# The pages' scripts and styles are part of the package: nothing is fetched by a browser.
set -euo pipefail
cd "$(dirname "$0")/../.."
out=${1:-dist/bundle}
python=${PYTHON:-.venv/bin/python}
extras=${SEALWATCH_BUNDLE_EXTRAS:-cloud,grafana,longtail,gsm,edge}
arm64_extras=${SEALWATCH_BUNDLE_ARM64_EXTRAS-edge,gpio}
models=${SEALWATCH_MODEL_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/sealwatch/models}
machine=$(uname -m)
pip=("$python" -m pip --disable-pip-version-check)

# Modules that are gone from the tree must not come back from an earlier build.
rm -rf "$out" build/lib build/bdist.*
mkdir -p "$out/wheels/$machine"
echo "== packages for $machine ($extras)"
"${pip[@]}" wheel --quiet --wheel-dir "$out/wheels/$machine" ".[$extras]"
if [ -n "$arm64_extras" ] && [ "$machine" != aarch64 ]; then
  echo "== packages for aarch64 ($arm64_extras)"
  mkdir -p "$out/wheels/aarch64"
  own=$(ls "$out/wheels/$machine"/sealwatch-*.whl)
  cp "$own" "$out/wheels/aarch64/"
  version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')
  "${pip[@]}" download --quiet --dest "$out/wheels/aarch64" --only-binary=:all: --implementation cp \
    --python-version "$version" --platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
    --platform manylinux2014_aarch64 "${own}[$arm64_extras]"
fi

mkdir -p "$out/models"
if [ -n "$(find "$models" -maxdepth 1 -name '*.onnx' 2>/dev/null)" ]; then
  echo "== the person model"
  find "$models" -maxdepth 1 -type f -exec cp {} "$out/models/" \;
else
  echo "== no person model is built here: run make models first, or carry it over by hand"
fi

cp -rL deploy docs "$out/"
cp deploy/bundle/install.sh "$out/install.sh"
mapfile -t images < <(sed -n 's/^ *image: *//p' deploy/compose.yaml | sort -u)
if docker info >/dev/null 2>&1; then
  echo "== container images"
  mkdir -p "$out/images"
  docker build --quiet --file deploy/Dockerfile --tag sealwatch:0.1.0 . >/dev/null
  for image in "${images[@]}"; do
    case $image in sealwatch:*) ;; *) docker pull --quiet "$image" >/dev/null ;; esac
    docker image inspect --format "$image {{index .RepoDigests 0}}" "$image" 2>/dev/null || echo "$image"
    docker save "$image" | gzip > "$out/images/$(echo "$image" | tr '/:' '__').tar.gz"
  done > "$out/images.txt"
else
  echo "== no container engine runs here: the images are listed by name, not saved"
  printf '%s\n' "${images[@]}" > "$out/images.txt"
fi

sums=$(cd "$out" && find . -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum)
printf '%s\n' "$sums" > "$out/SHA256SUMS"
tar --sort=name --owner=0 --group=0 --numeric-owner -C "$(dirname "$out")" -czf "$out.tar.gz" "$(basename "$out")"
echo "== $out.tar.gz ($(du -h "$out.tar.gz" | cut -f1)); its SHA-256, to be carried over by another way:"
sha256sum "$out.tar.gz"
