#!/bin/sh
# enter-root.sh ROOT HIERARCHY NODE COMMAND…: runs COMMAND in ROOT, with the machine's kernel, network and current folder.
# HIERARCHY is 1 (the machine's control groups as they are) or 2 (the unified hierarchy alone). NODE is the binary that is
# `node` there; empty for the root's own. All mounts and processes end with COMMAND.
set -eu
if [ "${inside:-}" != yes ]; then inside=yes exec unshare --mount --pid --fork --kill-child -- sh "$0" "$@"; fi

root=$1 hierarchy=$2 node=$3 here=$PWD
shift 3
mount --make-rprivate /
mkdir -p "$root.tmp"                        # Docker's overlay2 needs a file system that is not itself an overlay
mount --bind "$root" "$root"
cd "$root"
mount -t proc proc proc
mount --bind "$root.tmp" tmp
chmod 1777 tmp
mkdir -p ".$here"
mount --bind "$here" ".$here"
if [ -n "$node" ]; then
  [ -e usr/bin/node ] || touch usr/bin/node
  mount --bind "$node" usr/bin/node
fi
mount --rbind /dev dev
mount -t tmpfs -o mode=755 run run
mkdir -p run/lock run/docker/plugins run/cgroup run/old
if [ "$hierarchy" = 2 ]; then mount -t cgroup2 cgroup2 run/cgroup; else mount --rbind /sys/fs/cgroup run/cgroup; fi
mount -t sysfs sysfs sys
mount --rbind run/cgroup sys/fs/cgroup
umount -R -l run/cgroup
pivot_root . run/old
cd /
umount -l /run/old
export PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root TMPDIR=/tmp
unset inside
cd "$here"
# The first process of a pid namespace gets no signal it has not asked for, and has to reap what others leave behind.
trap 'kill -TERM "$command"' INT TERM
"$@" &
command=$!
while :; do
  status=0
  wait "$command" || status=$?
  kill -0 "$command" 2>/dev/null || exit "$status"
done
