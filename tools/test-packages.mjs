// What tests that make hosts need of a Debian machine.
import { existsSync } from "node:fs";

/** Where systemd runs, a firewall or a store that is installed is started, too, and nobody wants that of a test. */
const startsServices = existsSync("/run/systemd/system");

/** @type {import("./prepare.mjs").WantedCommand[]} */
export const testPackages = [
  { command: "nft", package: "nftables" },
  { command: "ip", package: "iproute2" },
  { command: "iptables", package: "iptables" },
  { command: "dockerd", package: "docker.io" },
  { command: "docker-compose", package: "docker-compose" },
  { command: "podman", package: "podman" },
  { command: "runc", package: "runc" },
  { command: "dig", package: "bind9-dnsutils" },
  { command: "dnsmasq", package: "dnsmasq-base" },
  { command: "busybox", package: "busybox-static" },
  { command: "curl", package: "curl" },
  { command: "etcd", package: "etcd-server" },
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
  ...(startsServices
    ? []
    : [
        { command: "etcd", package: "etcd-server" },
        { command: "etcdctl", package: "etcd-client" },
      ]),
  { command: "tcpdump", package: "tcpdump" },
  { command: "faketime", package: "faketime" },
  { command: "wireguard-go", package: "wireguard-go" },
  ...(startsServices ? [] : [{ command: "firewall-cmd", package: "firewalld" }]),
];
