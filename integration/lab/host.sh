#!/bin/sh
# Keeps one test host: `host.sh NAME INIT` lives until its standard input ends, then removes everything the host had.
# It prints the process id of the host's init, and then "ready". INIT is what the host's first process is to be:
# `plain`, which does nothing, or `systemd`.
# The plain init reads that same standard input, so the host also ends when the test process is killed.
set -e
name=$1 kind=$2

if [ "$3" != inside ]; then
  if [ "$kind" = systemd ]; then
    unshare --mount --net --uts --ipc --pid --fork --kill-child -- sh "$0" "$name" "$kind" inside &
    cat >/dev/null
    kill -KILL $(cat "/proc/$!/task/$!/children") || kill -KILL $!   # the first process takes all others along
    wait
  else
    unshare --mount --net --uts --pid --fork -- sh "$0" "$name" "$kind" inside || true
  fi
  exec >/dev/null
  # A container's control groups are outside all namespaces; they can go once its processes have.
  find /sys/fs/cgroup/ -path "*/$name/*" -depth -type d -delete 2>/dev/null || true
  find /sys/fs/cgroup/ -name "$name" -type d -delete 2>/dev/null || true
  exit
fi

read -r pid rest </proc/self/stat   # still the machine's /proc
echo "$pid"
mount --make-rprivate /
mount -t proc proc /proc
mount -t tmpfs -o mode=755 run /run
mkdir -p /run/host/cgroup /run/docker/plugins
if [ "$kind" = systemd ]; then
  mount -t cgroup2 cgroup2 /run/host/cgroup
  mkdir "/run/host/cgroup/$name"
  echo 0 >"/run/host/cgroup/$name/cgroup.procs"
  umount /run/host/cgroup
else
  mount --rbind /sys/fs/cgroup /run/host/cgroup   # a fresh sysfs shows this host's interfaces but hides the cgroup mounts
  mount -t sysfs sysfs /sys
  mount --rbind /run/host/cgroup /sys/fs/cgroup
  umount -R -l /run/host/cgroup
fi
for directory in etc opt var/lib usr/local; do
  mkdir -p "/run/host/$directory/upper" "/run/host/$directory/work"
  mount -t overlay -o "lowerdir=/$directory,upperdir=/run/host/$directory/upper,workdir=/run/host/$directory/work" overlay "/$directory"
done
rm -rf /etc/docker /etc/pontoon
mkdir -p /etc/docker /etc/pontoon
for directory in docker containerd pontoon; do   # Docker's overlay2 needs a file system that is not itself an overlay
  mkdir -p "/var/lib/$directory"
  mount -t tmpfs -o mode=755 "$directory" "/var/lib/$directory"
done
hostname "$name"
ip link set lo up
if [ "$kind" = systemd ]; then exec unshare --cgroup -- sh "${0%/*}/systemd.sh"; fi
echo ready
exec env --ignore-signal=CHLD cat >/dev/null   # the kernel reaps the orphans of an init that ignores SIGCHLD
