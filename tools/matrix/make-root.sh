#!/bin/sh
# make-root.sh SUITE FOLDER MIRROR PACKAGE…: puts Debian's SUITE with these packages into FOLDER, or adds packages to what is there.
# With ARCH in the environment it is another processor's, of which nothing can be run: the files of the packages that every Debian
# has, not set up.
# Runs in a mount and pid namespace of its own, so that nothing of it outlives an interruption.
set -eu
suite=$1 folder=$2 mirror=$3
shift 3

if [ "${inside:-}" != yes ]; then inside=yes exec unshare --mount --pid --fork --kill-child -- sh "$0" "$suite" "$folder" "$mirror" "$@"; fi

work=$folder.work
mount --make-rprivate /
if [ ! -e "$folder" ]; then
  rm -rf "$folder.new" "$work"
  mkdir -p "$work"
  if ! command -v debootstrap >/dev/null; then
    (cd "$work" && apt-get download -q debootstrap >/dev/null 2>&1 && dpkg -x debootstrap_*.deb .)
    export DEBOOTSTRAP_DIR="$work/usr/share/debootstrap" PATH="$PATH:$work/usr/sbin"
  fi
  debootstrap --variant=minbase --keyring=/usr/share/keyrings/debian-archive-keyring.gpg ${ARCH:+--foreign "--arch=$ARCH"} "$suite" "$folder.new" "$mirror"
  rm -rf "$work"
  if [ -n "${ARCH:-}" ]; then
    mv "$folder.new" "$folder"
    exit
  fi
  printf '#!/bin/sh\nexit 101\n' >"$folder.new/usr/sbin/policy-rc.d"   # no service is started
  chmod +x "$folder.new/usr/sbin/policy-rc.d"
  echo "deb $mirror $suite main" >"$folder.new/etc/apt/sources.list"
  mv "$folder.new" "$folder"
fi
cp -L /etc/resolv.conf /etc/hosts "$folder/etc/"
mount -t proc proc "$folder/proc"
mount --rbind /dev "$folder/dev"
export DEBIAN_FRONTEND=noninteractive PATH=/usr/sbin:/usr/bin:/sbin:/bin
chroot "$folder" apt-get -o Acquire::Check-Valid-Until=false update -q
chroot "$folder" apt-get install -y -q --no-install-recommends "$@"
chroot "$folder" apt-get clean
