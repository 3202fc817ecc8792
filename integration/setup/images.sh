#!/usr/bin/env bash
# Makes images with real servers out of Debian's packages, without a registry: images.sh FOLDER NAME…
#
# Each becomes FOLDER/NAME-HASH.tar, a whole root file system, unless it is there already; the hash is that of this
# script and of what it plants. The path of each is a line on stdout. Packages are downloaded and unpacked, and nothing
# of theirs is run: this machine stays as it is. Needs apt-get and dpkg-deb of Debian 12, and neither root nor Docker.
set -euo pipefail

folder=${1:?usage: images.sh FOLDER NAME…}
shift
here=$(cd "$(dirname "$0")" && pwd)
planted=$here/images
names=("$@")

# What a shell needs, and what every server below is run with.
base="base-files base-passwd bash dash coreutils findutils grep sed mawk tar procps util-linux libc-bin hostname"

# packages NAME: what an image holds beside the base.
packages() {
  case $1 in
    postgres) echo postgresql-15 ;;
    mariadb) echo mariadb-server ;;
    redis) echo redis-server ;;
    metrics) echo rrdtool rrdcached python3 python3-whisper ;;
    influxdb) echo influxdb influxdb-client ;;
    memcached) echo memcached ;;
    # Its classes alone: the package with its scripts brings a desktop's Java.
    zookeeper) echo libzookeeper-java openjdk-17-jre-headless python3 python3-kazoo ;;
    *)
      echo "setup: there is no image \`$1\`: postgres, mariadb, redis, metrics, influxdb, memcached, zookeeper" >&2
      return 1
      ;;
  esac
}

# programs NAME: what is planted in an image beside its entry point.
programs() {
  case $1 in
    metrics) echo points.py segments.py ;;
    zookeeper) echo zookeeper.py ;;
  esac
}

# The longest that one step may take: a mirror that gives nothing is an error, not a wait.
patience=600

work=
finish() {
  local status=$?
  trap - EXIT INT TERM HUP
  [ -z "$work" ] || rm -rf "$work"
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# The hash of an image: of the same inputs the same image, so what is there is never made again.
hash_of() {
  local program
  { cat "$0" "$planted/$1" && for program in $(programs "$1"); do cat "$planted/$program"; done; } | sha256sum | cut -c1-12
}

# apt with a state of its own, in which nothing is installed: it finds every dependency, and changes nothing here.
apt() {
  timeout "$patience" apt-get -q -y --no-install-recommends -o Dir::State::status="$work/status" \
    -o Dir::Cache="$work/cache" -o Dir::Cache::archives="$work/debs" -o Debug::NoLocking=1 \
    -o APT::Sandbox::User="$(id -un)" -o Acquire::Retries=3 -o Acquire::http::Timeout=60 "$@"
}

# fetch PACKAGE…: downloads them with all that they need; their files' names go to the list.
fetch() {
  apt -s install "$@" >"$work/plan" 2>"$work/words" && apt -d install "$@" >"$work/words" 2>&1 || return 1
  local name version file
  : >"$work/list"
  while read -r name version; do
    for file in "$work/debs/${name}_${version//:/%3a}_"*.deb; do
      [ -f "$file" ] || return 1
      echo "$file" >>"$work/list"
    done
  done < <(sed -n 's/^Inst \([^ :]*\)[^ ]* (\([^ ]*\) .*/\1 \2/p' "$work/plan")
  [ -s "$work/list" ]
}

# Lists of packages may be missing or old: then they are read again, once, where that is allowed.
fetch_or_refresh() {
  fetch "$@" && return 0
  if [ "$(id -u)" -eq 0 ] && [ ! -e "$work/refreshed" ]; then
    : >"$work/refreshed"
    echo "setup: reading the lists of Debian's packages again" >&2
    timeout "$patience" apt-get -q update >"$work/update" 2>&1 || tail -n 5 "$work/update" >&2
    fetch "$@" && return 0
  fi
  tail -n 5 "$work/words" >&2
  echo "setup: packages of the image \`$name\` cannot be had here: $*" >&2
  echo "setup: they are those of Debian 12; where apt knows a mirror of it, run: sudo apt-get update" >&2
  return 1
}

# The root file system of an image. No maintainer script runs, so what these would have done is done here.
unpack() {
  local root=$1 dir
  mkdir -p "$root"/usr/{bin,sbin,lib,lib64}
  for dir in bin sbin lib lib64; do ln -s "usr/$dir" "$root/$dir"; done
  # Without documents and what PostgreSQL compiles queries with, large and unused here; and without links to places outside
  # of the root, which would lead into this machine until the image is one.
  xargs -P2 -I{} bash -o pipefail -c 'dpkg-deb --fsys-tarfile "$1" | tar -x -C "$2" --keep-directory-symlink --no-same-owner \
      --exclude=./usr/share/doc --exclude=./usr/share/man --exclude=./usr/share/info --exclude=./usr/share/locale \
      --exclude=./var/run --exclude=./var/lock --exclude="*/libLLVM-*" --exclude="*/llvmjit*" --exclude="*/lib/bitcode"' \
    bash {} "$root" <"$work/list"
  mkdir -p "$root"/{tmp,run,proc,sys,dev,root,var,usr/local/bin}
  chmod 1777 "$root/tmp"
  ln -s ../run "$root/var/run"
  ln -sf mawk "$root/usr/bin/awk"
  cp "$root/usr/share/base-passwd/passwd.master" "$root/etc/passwd"
  cp "$root/usr/share/base-passwd/group.master" "$root/etc/group"
  echo "server:x:999:999::/:/bin/sh" >>"$root/etc/passwd"
  echo "server:x:999:" >>"$root/etc/group"
}

# make NAME FILE: one image, complete or not at all.
make_image() {
  local name=$1 file=$2 began=$SECONDS root wanted program
  wanted=$(packages "$name")
  echo "setup: making the image \`$name\` of Debian's packages: $wanted" >&2
  root=$work/root-$name
  # Word splitting is meant: package names hold no spaces.
  # shellcheck disable=SC2086
  fetch_or_refresh $base $wanted
  unpack "$root"
  install -m 0755 "$planted/$name" "$root/entrypoint"
  for program in $(programs "$name"); do install -m 0755 -t "$root/usr/local/bin" "$planted/$program"; done
  # Of root, whoever made it; the modes stay.
  tar -C "$root" --owner=0 --group=0 --numeric-owner -cf "$file.part" .
  rm -f "$folder/$name"-*.tar
  mv "$file.part" "$file"
  rm -rf "$root"
  echo "setup: \`$name\` took $((SECONDS - began)) s, $(du -m "$file" | cut -f1) MB" >&2
}

mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
# Whoever comes second finds what the first one made.
exec 9>"$folder/lock"
flock -w "$patience" 9 || { echo "setup: another run has been making images for $patience s" >&2; exit 1; }
for name in "${names[@]}"; do
  packages "$name" >/dev/null
  file=$folder/$name-$(hash_of "$name").tar
  if [ ! -f "$file" ]; then
    for program in apt-get dpkg-deb; do
      command -v "$program" >/dev/null || { echo "setup: images are made with $program, of Debian 12" >&2; exit 1; }
    done
    if [ -z "$work" ]; then
      work=$(mktemp -d "$folder/work.XXXXXX")
      mkdir -p "$work/debs/partial" "$work/cache"
      : >"$work/status"
    fi
    make_image "$name" "$file"
  fi
  echo "$file"
done
