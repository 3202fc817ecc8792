#!/usr/bin/env bash
# Runs a systemd of its own until stdin ends: with-systemd.sh FOLDER
#
# It is this machine's systemd, as PID 1 of its own namespaces, over a view of this machine's files that forgets what is
# written. In it, FOLDER/units is /etc/systemd/system, of which `rig.target` is started; FOLDER/etc is /etc/backupd; FOLDER
# lies where it lies here, so that a Docker engine outside finds sockets in it; the engine's socket, DOCKER_SOCKET, is at
# /run/docker.sock; the network is this machine's. Its pid, and the folder of its control groups, are a line on stdout once
# it answers. Nothing of it is left afterwards. Where it cannot be, a line on stderr says why, and the exit code is 1.
set -euo pipefail

PATH=$PATH:/usr/sbin:/sbin

# Inside the namespaces: puts the view together and becomes PID 1.
if [ "${1:-}" = --inside ]; then
  folder=$2
  root=$folder/root
  mount --make-rprivate /
  mount -t tmpfs tmpfs "$folder/over"
  mkdir "$folder/over/new" "$folder/over/work"
  mount -t overlay overlay -o "lowerdir=/,upperdir=$folder/over/new,workdir=$folder/over/work" "$root"
  mount -t proc proc "$root/proc"
  # Settings of the kernel are the whole machine's.
  mount --bind "$root/proc/sys" "$root/proc/sys"
  mount -o remount,ro,bind "$root/proc/sys"
  mount -t sysfs -o ro sysfs "$root/sys"
  if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
    mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
  else
    mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
    mkdir "$root/sys/fs/cgroup/systemd"
    mount -t cgroup -o none,name=systemd cgroup "$root/sys/fs/cgroup/systemd"
  fi
  for place in run dev; do mount -t tmpfs -o mode=755 tmpfs "$root/$place"; done
  mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
  for device in null zero full random urandom tty; do
    : >"$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s pts/ptmx "$root/dev/ptmx"
  mkdir "$root/dev/pts" "$root/dev/shm" "$root/dev/mqueue" "$root/dev/hugepages"
  mount -t devpts devpts "$root/dev/pts"
  : >"$root/run/docker.sock"
  mount --bind "$DOCKER_SOCKET" "$root/run/docker.sock"
  mkdir -p "$root/etc/systemd/system" "$root/etc/backupd" "$root$folder"
  mount --bind "$folder/units" "$root/etc/systemd/system"
  mount --bind "$folder/etc" "$root/etc/backupd"
  mount --bind "$folder" "$root$folder"
  # What a machine does to itself when it boots is no business of ours.
  rm -rf "$root/usr/lib/systemd/system/sysinit.target.wants"
  cd "$root"
  pivot_root . mnt
  umount -l mnt
  # As PID 1 of a machine makes it: credentials are mounted elsewhere, and come here by this.
  mount --make-rshared /
  exec env -i container=rig PATH=/usr/bin:/bin:/usr/sbin:/sbin \
    /usr/lib/systemd/systemd --system --unit=rig.target --log-target=journal --show-status=no
fi

folder=${1:?usage: with-systemd.sh FOLDER}
for needed in /usr/lib/systemd/systemd "$(command -v unshare || echo unshare)" "$(command -v nsenter || echo nsenter)"; do
  [ -x "$needed" ] || { echo "setup: a systemd of its own needs \`$needed\`" >&2; exit 1; }
done
[ "$(id -u)" -eq 0 ] || { echo "setup: a systemd of its own needs root" >&2; exit 1; }

# Control groups of its own in each hierarchy that a systemd makes groups in: where two of them shared groups, the second
# would find those of the first made, and not make what belongs to them elsewhere. The first is where its processes show.
if [ -f /sys/fs/cgroup/cgroup.controllers ]; then
  hierarchies=(/sys/fs/cgroup)
else
  hierarchies=(/sys/fs/cgroup/systemd)
  [ ! -f /sys/fs/cgroup/unified/cgroup.controllers ] || hierarchies+=(/sys/fs/cgroup/unified)
fi
groups=("${hierarchies[@]/%//$(basename "$folder")}")
init=

finish() {
  local status=$?
  trap - EXIT INT TERM HUP
  # With PID 1 everything in its namespaces ends, and with these their mounts.
  [ -z "$init" ] || kill -KILL "$init" 2>/dev/null || true
  wait
  for group in "${groups[@]}"; do
    for _ in $(seq 50); do
      find "$group" -depth -type d -exec rmdir {} + 2>/dev/null || true
      [ -d "$group" ] || break
      sleep 0.1
    done
  done
  exit "$status"
}
trap finish EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

mkdir "${groups[@]}" "$folder/over" "$folder/root"
(
  for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs"; done
  exec unshare --mount --pid --fork --uts --ipc --cgroup --kill-child "$0" --inside "$folder"
) >"$folder/log" 2>&1 </dev/null &
outer=$!

for _ in $(seq 200); do
  init=$(pgrep -P "$outer" || true)
  if [ -n "$init" ] && nsenter -t "$init" -m -p -r systemctl is-active --quiet rig.target 2>/dev/null; then
    echo "$init ${groups[0]}"
    cat >/dev/null
    exit 0
  fi
  kill -0 "$outer" 2>/dev/null || break
  sleep 0.1
done
echo "setup: no systemd starts here: $(tail -n 3 "$folder/log")" >&2
exit 1
