#!/usr/bin/env bash
# Makes sure that this machine has what a purpose needs: packages.sh demo|test|bench|tools
#
# Only what is missing is installed, and each thing is named before that. As root on Debian or Ubuntu it
# installs; anywhere else it prints the one command to run and ends with 1.
set -euo pipefail

purpose=${1:?usage: packages.sh demo|test|bench|tools}
missing=()

# need WHY PACKAGE TEST…: notes the package unless the test passes.
need() {
  local why=$1 package=$2
  shift 2
  if ! "$@" >/dev/null 2>&1; then
    echo "setup: $package is missing: $why" >&2
    missing+=("$package")
  fi
}

# Programs of the system's folders count even if this shell's PATH leaves them out.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
has() { command -v "$1"; }
compiles_c() { echo 'int main(void) { return 0; }' | cc -static -x c -o /dev/null -; }

if ! has cargo >/dev/null; then
  echo "setup: Rust is missing, and it comes first: see https://rustup.rs, or run" >&2
  echo "  curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh" >&2
  exit 1
fi

need "it runs the setup scripts and the reader of tests" python3 has python3
need "it ends what an engine left behind" procps has pgrep
if [ "$purpose" != tools ]; then
  need "it builds zstd and SQLite" gcc has cc
  # Without a compiler the second question has no answer yet; the package comes along either way.
  need "the helper is linked to its static library" libc6-dev compiles_c
  # Asking needs Python; where it has to be installed first, this script starts over afterwards.
  if has python3 >/dev/null && ! "$(dirname "$0")/engine-answers.py" "${DOCKER_HOST:-unix:///var/run/docker.sock}" 2>/dev/null; then
    need "no Docker engine answers, so a private one will be started" docker.io has dockerd
  fi
fi
if [ "$purpose" != demo ]; then
  need "it holds the S3 servers of tests" python3-venv python3 -c 'import ensurepip, venv'
fi
if [ "$purpose" = test ] || [ "$purpose" = bench ]; then
  need "the rules of the house list files with it" git has git
  need "it reads packs without software of ours" zstd has zstd
  need "it checks restored ACLs" acl has getfacl
  need "it checks restored attributes" attr has getfattr
  need "it completes what is typed into it" zsh has zsh
  need "and so does this" fish has fish
  need "it makes small file systems that fill up" e2fsprogs has mkfs.ext4
fi
if [ "$purpose" = test ]; then
  need "it understands the compose files of the stacks" docker-compose has docker-compose
  need "it reads them for the tests" python3-yaml /usr/bin/python3 -c 'import yaml'
  need "it makes the terminals that backupctl is looked at in" tmux has tmux
  need "it shows the status page as people see it" chromium has chromium
  need "it makes file systems that clone files" xfsprogs has mkfs.xfs
  need "and others that do" btrfs-progs has mkfs.btrfs
  need "it lets a disk say that it lost what was written" strace has strace
  need "it takes a field out of JSON as the handbook says" jq has jq
  need "it decrypts an archive as the handbook says" gpg has gpg
  need "its snapshots are imported as the handbook says" restic has restic
  need "and those of this" borgbackup has borg
fi
if [ "$purpose" = bench ]; then
  need "it is what we measure ourselves against" restic has restic
  need "and against this" borgbackup has borg
  # Not in Debian, and measured only if somebody installed it.
  has rustic >/dev/null || echo "setup: rustic is not there and is left out (cargo install --locked rustic-rs)" >&2
fi

[ ${#missing[@]} -gt 0 ] || exit 0

install="apt-get install -y --no-install-recommends ${missing[*]}"
if ! has apt-get >/dev/null; then
  echo "setup: install these (Debian's names) with this system's package manager: ${missing[*]}" >&2
  exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
  echo "setup: run this, then try again:" >&2
  echo "  sudo sh -c 'apt-get update && $install'" >&2
  exit 1
fi
echo "setup: installing ${missing[*]}" >&2
export DEBIAN_FRONTEND=noninteractive
apt-get update -q >&2
# Word splitting is meant: package names hold no spaces.
# shellcheck disable=SC2086
$install >&2
case " ${missing[*]} " in *" python3 "*) exec "$0" "$purpose" ;; esac
