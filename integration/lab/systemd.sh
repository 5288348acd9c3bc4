#!/bin/sh
# The last steps of a test host whose first process is systemd: control groups of its own, the machine's kernel settings
# out of reach, and of the machine's services only those named here.
set -e
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mkdir /run/host/net
mount --bind /proc/sys/net /run/host/net   # the host's own; all other settings are the machine's
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --move /run/host/net /proc/sys/net

rm -rf /etc/systemd
mkdir -p /etc/systemd/system /run/host/units
cd /usr/lib/systemd/system 2>/dev/null || cd /lib/systemd/system
cp sysinit.target basic.target sockets.target multi-user.target shutdown.target umount.target network.target network-online.target \
  systemd-journald.service systemd-journald.socket containerd.service docker.service docker.socket /run/host/units
cd /
mkdir /run/host/units/sysinit.target.wants
ln -s ../systemd-journald.socket ../systemd-journald.service /run/host/units/sysinit.target.wants
printf '[Journal]\nStorage=volatile\nReadKMsg=no\nAudit=no\n' >/etc/systemd/journald.conf
hostname >/etc/hostname
echo ready
exec env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin container=testhost SYSTEMD_UNIT_PATH=/etc/systemd/system:/run/host/units \
  SYSTEMD_GENERATOR_PATH=/nowhere SYSTEMD_ENVIRONMENT_GENERATOR_PATH=/nowhere \
  /lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=no </dev/null >/dev/null 2>&1
