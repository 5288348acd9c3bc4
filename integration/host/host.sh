#!/bin/sh
# Keeps one test host: `host.sh NAME` lives until its standard input ends, then removes everything the host had.
# It prints the process id of the host's init, and then "ready".
# The host's init reads that same standard input, so the host also ends when the test process is killed.
set -e
name=$1

if [ "$2" != init ]; then
  unshare --mount --net --uts --pid --fork -- sh "$0" "$name" init || true
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
mount --rbind /sys/fs/cgroup /run/host/cgroup   # a fresh sysfs shows this host's interfaces but hides the cgroup mounts
mount -t sysfs sysfs /sys
mount --rbind /run/host/cgroup /sys/fs/cgroup
umount -R -l /run/host/cgroup
for directory in etc opt var/lib; do
  mkdir -p "/run/host/$directory/upper" "/run/host/$directory/work"
  mount -t overlay -o "lowerdir=/$directory,upperdir=/run/host/$directory/upper,workdir=/run/host/$directory/work" overlay "/$directory"
done
rm -rf /etc/docker /etc/pontoon
mkdir -p /etc/docker /etc/pontoon
for directory in docker pontoon; do   # Docker's overlay2 needs a file system that is not itself an overlay
  mkdir -p "/var/lib/$directory"
  mount -t tmpfs "$directory" "/var/lib/$directory"
done
hostname "$name"
ip link set lo up
echo ready
exec env --ignore-signal=CHLD cat >/dev/null   # the kernel reaps the orphans of an init that ignores SIGCHLD
