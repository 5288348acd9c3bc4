import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeSync } from "node:fs";
import { errorCode } from "../common/errors.js";

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

/** A link gets no link-local address by itself (`addr_gen_mode`), once this is said before it is up. */
export function ownAddressesOnly(link: string): void {
  writeSetting(`ipv6/conf/${link}/addr_gen_mode`, "1");
}

/** Whether a link answers for IPv6 addresses that the neighbour table has it answer for (`proxy_ndp`). */
export function answersForOthers(link: string): boolean {
  const path = pathOf(`ipv6/conf/${link}/proxy_ndp`);
  return existsSync(path) && readFileSync(path, "latin1").trim() !== "0";
}

/** As {@link answersForOthers} tells. Does nothing for a link that is not there, or has no IPv6. */
export function setAnswersForOthers(link: string, isOn: boolean): void {
  writeSetting(`ipv6/conf/${link}/proxy_ndp`, isOn ? "1" : "0");
}

const forwarding = { ipv4: "ipv4/ip_forward", ipv6: "ipv6/conf/all/forwarding" } as const;

export function forwards(family: "ipv4" | "ipv6"): boolean {
  const path = pathOf(forwarding[family]);
  return existsSync(path) && readFileSync(path, "latin1").trim() !== "0";
}

/** A host that forwards IPv6 takes no advice of routers any more, and would lose its way out: links that take it go on doing so. */
export function forward(family: "ipv4" | "ipv6"): void {
  if (family === "ipv6") for (const link of linksWithAdvice()) writeSetting(`ipv6/conf/${link}/accept_ra`, "2");
  writeSetting(forwarding[family], "1");
}

/** Advice of routers goes on being taken where it was: that is the same to a host that does not forward. */
export function stopForwarding(family: "ipv4" | "ipv6"): void {
  writeSetting(forwarding[family], "0");
}

/** Links that forward what comes in there, whatever the others do. */
export function forwardingLinks(family: "ipv4" | "ipv6"): string[] {
  const folder = `${family}/conf`;
  if (!existsSync(pathOf(folder))) return [];
  const isOn = (link: string) => readFileSync(pathOf(`${folder}/${link}/forwarding`), "latin1").trim() !== "0";
  return readdirSync(pathOf(folder)).filter((link) => link !== "all" && link !== "default" && isOn(link));
}

function linksWithAdvice(): string[] {
  const takesAdvice = (link: string) => readFileSync(pathOf(`ipv6/conf/${link}/accept_ra`), "latin1").trim() === "1";
  return readdirSync(pathOf("ipv6/conf")).filter((link) => link !== "all" && link !== "default" && takesAdvice(link));
}

/** Opened once: to find a setting among those of a thousand links takes the kernel its time. */
function writeSetting(name: string, value: string): void {
  let file;
  try {
    file = openSync(pathOf(name), "r+");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return;
    throw error;
  }
  try {
    if (readFileSync(file, "latin1").trim() !== value) writeSync(file, value, 0);
  } finally {
    closeSync(file);
  }
}

const pathOf = (name: string): string => `/proc/sys/net/${name}`;
