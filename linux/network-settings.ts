import { existsSync, readFileSync, writeFileSync } from "node:fs";

// Settings of the calling thread's network namespace (`/proc/sys/net`, sysctl(8)): which namespace's they are is settled when the
// file is opened.

/** Whether a link has IPv6; `all` and `default` are those that are there and those that will be. Does nothing on a kernel without IPv6. */
export function setIPv6(link: string, isOn: boolean): void {
  writeSetting(`ipv6/conf/${link}/disable_ipv6`, isOn ? "0" : "1");
}

/** A bridge takes no advice of routers. */
export function ignoreRouters(link: string): void {
  writeSetting(`ipv6/conf/${link}/accept_ra`, "0");
}

const forwarding = { ipv4: "ipv4/ip_forward", ipv6: "ipv6/conf/all/forwarding" } as const;

export function forwards(family: "ipv4" | "ipv6"): boolean {
  const path = pathOf(forwarding[family]);
  return existsSync(path) && readFileSync(path, "latin1").trim() !== "0";
}

export function forward(family: "ipv4" | "ipv6"): void {
  writeSetting(forwarding[family], "1");
}

function writeSetting(name: string, value: string): void {
  const path = pathOf(name);
  if (existsSync(path) && readFileSync(path, "latin1").trim() !== value) writeFileSync(path, value);
}

const pathOf = (name: string): string => `/proc/sys/net/${name}`;
