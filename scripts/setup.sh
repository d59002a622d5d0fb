#!/usr/bin/env bash
# Sets up what strata needs beside Go, git, gcc and make.
#
#   scripts/setup.sh        an OCI runtime, for the embedded engine
#   scripts/setup.sh test   and the Debian packages that the tests make their
#                           stand-in images from (downloaded, not installed)
#
# It may be run any number of times and does nothing when nothing is missing.
# Nothing is installed without root; then it says what to install.
set -euo pipefail

# Built from its Go module if the distribution has no runtime.
readonly runc_version=v1.5.2 bin_dir=/usr/local/bin

# What internal/testkit unpacks: an interpreter with pip, the packages that
# "pip install flask" wants, and a shell. Names as in Debian 12.
readonly test_packages=(
  busybox-static
  libc6 libexpat1 libffi8 libgcc-s1 libssl3 zlib1g
  python3.11-minimal libpython3.11-minimal libpython3.11-stdlib python3-pip-whl
  python3-flask python3-werkzeug python3-jinja2 python3-markupsafe
  python3-itsdangerous python3-click
)

main() {
  case "${1:-}" in
    "") runtime ;;
    test) runtime && packages ;;
    *) die "usage: scripts/setup.sh [test]" ;;
  esac
}

# runtime makes sure that one OCI runtime is on PATH which BuildKit can drive.
runtime() {
  if have_runtime; then
    have_idmap
    return
  fi
  root_or_die "There is no OCI runtime (runc, or a crun that knows --keep) on PATH." \
    "Install one as root: apt-get install runc"
  say "installing runc"
  if apt_install runc && have_runtime; then
    return
  fi
  say "the package runc cannot be had; building $runc_version from its Go module"
  build_runc
  have_runtime || die "runc was installed but cannot be used: is $bin_dir on PATH?"
}

# have_runtime asks for the one option that tells a usable runtime from one
# that is too old: BuildKit runs containers with --keep.
have_runtime() {
  local name
  for name in runc crun; do
    if command -v "$name" >/dev/null && "$name" run --help 2>&1 | grep -q -- --keep; then
      return 0
    fi
  done
  return 1
}

# have_idmap is for those who build without root: the engine then lives in a
# user namespace, and only newuidmap can map more than one user into it.
have_idmap() {
  if [ "$(id -u)" -ne 0 ] && ! command -v newuidmap >/dev/null; then
    die "Building without root needs newuidmap and newgidmap." \
      "Install them as root: apt-get install uidmap"
  fi
}

build_runc() {
  if ! have_seccomp; then
    apt_install libseccomp-dev pkg-config || true
  fi
  have_seccomp || die "runc needs the headers of libseccomp to be built." \
    "Install either as root: apt-get install runc, or apt-get install libseccomp-dev"
  GOFLAGS='' GOBIN=$bin_dir CGO_ENABLED=1 \
    go install -trimpath -tags seccomp "github.com/opencontainers/runc@$runc_version"
}

have_seccomp() {
  echo '#include <seccomp.h>' | gcc -E -x c - >/dev/null 2>&1
}

# packages downloads the test packages into the cache that internal/testkit
# reads. They are moved there together, so the cache is never half full.
packages() {
  local debs missing=() name
  debs="${XDG_CACHE_HOME:-${HOME:?is not set, so there is no place for a cache}/.cache}/strata-testkit/debs"
  for name in "${test_packages[@]}"; do
    compgen -G "$debs/${name}_*.deb" >/dev/null || missing+=("$name")
  done
  if [ ${#missing[@]} -eq 0 ]; then
    return
  fi
  say "downloading ${#missing[@]} Debian packages for the tests"
  mkdir -p "$debs"
  scratch=$(mktemp -d "$debs/.new.XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  if ! apt_download "${missing[@]}" 2>/dev/null; then
    root_or_die "The package lists do not know all of: ${missing[*]}" \
      "Bring them up to date as root: apt-get update"
    apt_update && apt_download "${missing[@]}" ||
      die "These packages cannot be had: ${missing[*]}" "The tests need those of Debian 12."
  fi
  mv "$scratch"/*.deb "$debs/"
}

apt_download() {
  (cd "$scratch" && apt-get -qq -o APT::Sandbox::User=root download "$@")
}

apt_install() {
  command -v apt-get >/dev/null || return 1
  local -x DEBIAN_FRONTEND=noninteractive
  local install=(apt-get -qq -y --no-install-recommends install "$@")
  # The first try may fail for old package lists only; the second one tells why.
  "${install[@]}" >/dev/null 2>&1 || { apt_update && "${install[@]}" >/dev/null; }
}

apt_update() {
  apt-get -qq update >&2
}

root_or_die() {
  [ "$(id -u)" -eq 0 ] || die "$@"
}

say() {
  echo "setup: $1" >&2
}

die() {
  printf 'setup: %s\n' "$@" >&2
  exit 1
}

main "$@"
