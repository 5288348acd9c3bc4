import type { Packet } from "../rules/packet.js";
import type { Journey } from "./journey.js";

/** Full, new connections are dropped; from here on that is near. */
const nearlyFull = 0.9;

/** What the host's connection tracking knows of the target, and whether it has room for one more. */
export function tellFlows({ world, trail, transport }: Journey, { to, toPort }: Packet): void {
  const [count, most] = ["count", "max"].map((name) => Number(world.host.setting(`netfilter/nf_conntrack_${name}`)));
  const remedy = `sysctl -w net.netfilter.nf_conntrack_max=${2 * (most ?? 0)}`;
  if (count! >= most!)
    trail.stops("conntrack", "host", `the table of connections is full (${count} of ${most}): new ones are dropped`, {
      remedy,
    });
  if (count! >= nearlyFull * most!)
    trail.warns("conntrack", "host", `the table of connections is nearly full (${count} of ${most})`, { remedy });
  if (transport === "icmp" || toPort === undefined) return;
  const flows = world.host.flowsTo(to, transport, toPort);
  if (flows.length === 0) return;
  const unanswered = flows.filter(({ isAnswered }) => !isAnswered).length;
  const known = flows.length === 1 ? "1 connection is known" : `${flows.length} connections are known`;
  trail.passes("conntrack", "host", `${known} to ${to}, ${unanswered} of them unanswered`);
}
