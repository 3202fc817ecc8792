#!/usr/bin/env bash
# Runs a command with a Docker engine: with-docker.sh COMMAND…
#
# The engine at DOCKER_HOST (or the system's socket) is used if it answers. If none does, a private engine
# is started for the time of the command: own data, own socket, no bridge, no firewall rules, and nothing of
# it is left afterwards. The command's exit code is this script's.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin
answers() { "$here/engine-answers.py" "$1"; }

asked=${DOCKER_HOST:-unix:///var/run/docker.sock}
if why=$(answers "$asked" 2>&1); then
  export DOCKER_HOST=$asked
  exec "$@"
fi
echo "setup: $why" >&2

if ! command -v dockerd >/dev/null || [ "$(id -u)" -ne 0 ]; then
  echo "setup: a private engine needs root and dockerd (Debian: docker.io); or set DOCKER_HOST" >&2
  exit 1
fi

# Short, because a unix socket's path may have 107 bytes; on disk, because it holds volumes.
home=$(mktemp -d "${BACKUPD_ENGINE_DIR:-/var/tmp}/bkd-engine.XXXXXX")
socket=$home/docker.sock
log=$home/log
engine_pid=
containerd_pid=

# stop PID: asks it to end, and makes it end after twenty seconds (dockerd gives its containers fifteen).
stop() {
  [ -n "$1" ] && kill -TERM "$1" 2>/dev/null || return 0
  for _ in $(seq 200); do
    kill -0 "$1" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -KILL "$1" 2>/dev/null || true
}

# What an engine mounted for itself must go before its folder: nothing of the host is beneath it then.
clear_home() {
  local mount
  awk -v home="$home/" 'index($5, home) == 1 { print $5 }' /proc/self/mountinfo | sort -r | while read -r mount; do
    umount -l "$mount" 2>/dev/null || true
  done
  rm -rf --one-file-system "$home"
}

# Containers outlive an engine that was killed: each hangs on a shim that names our folder.
kill_left_containers() {
  local shim
  for shim in $(pgrep -f "containerd-shim.*$home/" || true); do
    pkill -KILL -P "$shim" || true
    kill -KILL "$shim" 2>/dev/null || true
  done
}

stop_engine() {
  stop "$engine_pid"
  # A dockerd that was killed leaves the containerd it started; its pid is in its own folder.
  local orphan=
  [ ! -f "$home/exec/containerd/containerd.pid" ] || read -r orphan <"$home/exec/containerd/containerd.pid" || true
  if [ -n "$orphan" ] && grep -qF "$home" "/proc/$orphan/cmdline" 2>/dev/null; then
    stop "$orphan"
  fi
  stop "$containerd_pid"
  kill_left_containers
  engine_pid=
  containerd_pid=
}

finish() {
  local status=$?
  trap - EXIT INT TERM HUP
  stop_engine
  clear_home
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# Where no init did it (a container without systemd), processes must leave the root group of cgroup v2
# before groups beneath it can have limits.
prepare_cgroups() {
  local root=/sys/fs/cgroup
  if [ -f "$root/cgroup.controllers" ] && [ ! -d /run/systemd/system ] &&
    ! grep -qw memory "$root/cgroup.subtree_control" 2>/dev/null; then
    mkdir -p "$root/init" 2>/dev/null && xargs -rn1 <"$root/cgroup.procs" >"$root/init/cgroup.procs" 2>/dev/null || true
    sed -e 's/ / +/g' -e 's/^/+/' "$root/cgroup.controllers" >"$root/cgroup.subtree_control" 2>/dev/null || true
  elif ! grep -q ' - cgroup' /proc/self/mountinfo; then
    echo "setup: no cgroups are mounted; Debian's package cgroupfs-mount mounts them" >&2
  fi
}

# A dockerd that sees the system's containerd socket uses that one, and waits for it in vain if it is dead.
containerd_flag=()
own_containerd() {
  [ -S /run/containerd/containerd.sock ] || return 0
  mkdir -p "$home/containerd"
  setsid containerd --root "$home/containerd/root" --state "$home/containerd/state" \
    --address "$home/containerd.sock" --log-level warn >>"$log" 2>&1 </dev/null &
  containerd_pid=$!
  containerd_flag=(--containerd "$home/containerd.sock")
  for _ in $(seq 100); do
    [ -S "$home/containerd.sock" ] && return 0
    sleep 0.1
  done
}

# start_engine FLAG…: true once it answers; false when it ended or took over a minute.
start_engine() {
  own_containerd
  # The machine's own daemon.json would contradict the flags.
  echo '{}' >"$home/daemon.json"
  # Its own session, so that an interrupt at the keyboard reaches the command first.
  setsid dockerd --config-file "$home/daemon.json" --data-root "$home/data" --exec-root "$home/exec" -H "unix://$socket" \
    --pidfile "$home/docker.pid" --bridge=none --iptables=false --ip6tables=false --ip-masq=false \
    --log-level warn "${containerd_flag[@]}" "$@" >>"$log" 2>&1 </dev/null &
  engine_pid=$!
  disown "$engine_pid" # the shell is not to report how it ended
  for _ in $(seq 300); do
    answers "unix://$socket" 2>/dev/null && return 0
    kill -0 "$engine_pid" 2>/dev/null || return 1
    sleep 0.2
  done
  return 1
}

prepare_cgroups
if ! start_engine; then
  echo "setup: the engine does not start by itself; trying again with the vfs storage driver" >&2
  stop_engine
  rm -f "$socket"
  if ! start_engine --storage-driver vfs; then
    echo "setup: no engine starts here; the end of its log:" >&2
    tail -n 15 "$log" >&2
    grep -qi cgroup "$log" && echo "setup: it names cgroups: mount them, or run where Docker may make them" >&2
    exit 1
  fi
fi
echo "setup: a private Docker engine runs for this command (dockerd $engine_pid)" >&2

export DOCKER_HOST=unix://$socket
status=0
"$@" || status=$?
exit "$status"
