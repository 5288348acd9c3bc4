// What tests that make hosts need of a Debian machine.

/** @type {import("./prepare.mjs").WantedCommand[]} */
export const testPackages = [
  { command: "nft", package: "nftables" },
  { command: "ip", package: "iproute2" },
  { command: "iptables", package: "iptables" },
  { command: "dockerd", package: "docker.io" },
  { command: "dig", package: "bind9-dnsutils" },
  { command: "busybox", package: "busybox-static" },
  { command: "nsenter", package: "util-linux" },
  { command: "ps", package: "procps" },
  { command: "rootlesskit", package: "rootlesskit" },
  { command: "slirp4netns", package: "slirp4netns" },
  { command: "newuidmap", package: "uidmap" },
  { command: "openssl", package: "openssl" },
  { command: "systemd-analyze", package: "systemd" },
  { command: "gcc", package: "gcc" },
  { command: "musl-gcc", package: "musl-tools" },
  { command: "redis-server", package: "redis-server" },
  { command: "tcpdump", package: "tcpdump" },
];
