import t, { type Test } from "tap";
import type { HostLab } from "./testing/lab.js";
import { twoHosts, type OverlayHost } from "./testing/overlay.js";
import { stateOf } from "./testing/situation.js";
import type { WorkerRequest } from "./testing/worker.js";
import type { NeighbourChange, WantedNeighbour } from "./wanted.js";

const needsRoot = process.getuid?.() === 0 ? {} : { skip: "network namespaces are made by root" };
const network = "net7";
const mend: WorkerRequest = { kind: "mend-neighbours" };

/** @returns how many steps it took */
async function done(t: Test, { worker }: Pick<OverlayHost, "worker">, request: WorkerRequest): Promise<number> {
  const outcome = await worker.do(request);
  t.same(outcome?.failures, [], `${request.kind}: nothing fails`);
  return outcome?.steps ?? -1;
}

const neighbours = (change: Partial<NeighbourChange>): WorkerRequest => ({
  kind: "neighbours",
  changes: [{ network, put: [], removed: [], ...change }],
});

/** Both hosts with all that is wanted of them. */
async function connected(t: Test, family: "ipv4" | "ipv6" = "ipv4"): Promise<[OverlayHost, OverlayHost]> {
  const [one, other] = await twoHosts(t, family);
  for (const [host, { neighbours: put }] of [
    [one, other],
    [other, one],
  ] as const) {
    await done(t, host, { kind: "change", change: host.change });
    t.equal(await done(t, host, neighbours({ put, isAll: true })), 3, "one MAC address, two IP addresses");
  }
  return [one, other];
}

/** Whether a sandbox is answered; what is sent once more until it is, waits at the most so many seconds. */
function pings({ lab, sandbox }: OverlayHost, to: string, ...options: readonly string[]): boolean {
  return succeeds(lab, "ip", "netns", "exec", sandbox.id, "ping", "-c", "1", "-w", "30", "-i", "0.2", ...options, to);
}

function succeeds(lab: HostLab, program: string, ...args: readonly string[]): boolean {
  return lab.run("sh", "-c", `${[program, ...args].join(" ")} > /dev/null 2>&1 && echo yes || true`) !== "";
}

/** What the kernel has for endpoints on other hosts, as `bridge` and `ip` tell it. */
function entriesOf({ lab, network: { bridge, overlay } }: OverlayHost): string[] {
  const fdb = lab.run("bridge", "fdb", "show", "dev", overlay!.link).split("\n");
  const known = lab.run("ip", "neighbour", "show", "dev", bridge, "nud", "permanent").split("\n");
  const known6 = lab.run("ip", "-6", "neighbour", "show", "dev", bridge, "nud", "permanent").split("\n");
  const isOne = (line: string) => line !== "" && !/^(33:33|01:00|ff0)/.test(line) && !/ permanent$| vlan /.test(line);
  const words = (line: string) => line.trim().replace(/ (dev|master|lladdr) \S+/g, (part) => (part.startsWith(" lladdr") ? part : ""));
  return [...fdb, ...new Set([...known, ...known6])].filter(isOne).map(words).sort();
}

/** Packets that a host has sent into the underlay. */
function sentBy({ lab }: OverlayHost): number {
  return Number(lab.run("cat", "/sys/class/net/u0/statistics/tx_packets"));
}

for (const family of ["ipv4", "ipv6"] as const)
  t.test(`sandboxes of two hosts reach each other over ${family}, up to the MTU`, needsRoot, async (t) => {
    const [one, other] = await connected(t, family);
    t.ok(pings(one, "10.7.0.12"));
    t.ok(pings(one, "fd00:7::12"));
    t.ok(pings(other, "10.7.0.11"));
    const mtu = one.network.mtu;
    t.ok(pings(one, "10.7.0.12", "-M", "do", "-s", String(mtu - 28)), "as large as can be");
    t.ok(pings(one, "fd00:7::12", "-M", "do", "-s", String(mtu - 48)));
    t.notOk(pings(one, "10.7.0.12", "-M", "do", "-s", String(mtu - 27)), "and no larger");
    t.ok(pings(one, "10.7.0.1") && pings(other, "10.7.0.1"), "each has the gateway on its own host");
    console.log(entriesOf(one), one.lab.run("ip","-d","link","show","pvx-7"));
  });
