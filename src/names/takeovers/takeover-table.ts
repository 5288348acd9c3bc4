import { DOCKER_RESOLVER_MARK, LETTING_GO_TTL, RESOLVER_ADDRESS, RESOLVER_PORT } from "../../../dns/protocol.js";
import type { Budget } from "../../../linux/netlink/budget.js";
import type { Expression } from "../../../linux/netlink/nftables/expressions.js";
import type { Ruleset } from "../../../linux/netlink/nftables/ruleset.js";
import { service } from "../../../linux/netlink/nftables/data-types.js";
import { rule } from "../../../linux/netlink/nftables/fields.js";
import { accept, dnatTo, ip, meta, snatTo, tcp, udp, update } from "../../../linux/netlink/nftables/statements.js";
import {
  Transaction,
  type ChainName,
  type SetName,
  type TableName,
} from "../../../linux/netlink/nftables/transaction.js";

/** Ms after its last renewal that the takeover lapses and Docker's own resolver answers again. */
const renewedFor = 6000;

const table: TableName = { family: "ip", table: "pontoon" };
const chain: ChainName = { ...table, chain: "out" };
const claim: ChainName = { ...table, chain: "claim" };
const stay: ChainName = { ...table, chain: "stay" };
const back: ChainName = { ...table, chain: "back" };
const armed: SetName = { ...table, set: "armed" };
const port53 = { key: service.encode(RESOLVER_PORT) };

/**
 * The table that turns 127.0.0.11:53 into our own port, ahead of Docker's NAT and without touching it.
 * It acts only while the set holds port 53, which every packet the server sends from its UDP port renews: a server
 * that is gone or hangs lets go by itself. Ports are changed before connections are tracked on the way to us, and behind
 * everything on the way back: what the container's own firewall sees is tracked, as with Docker's resolver, and nothing
 * outlives the takeover. No NAT rule of the container's is asked about what has been led to us.
 * @param lapses false where nobody else would answer: the table then acts as long as it is there
 * @param replaces whether the table of a crashed daemon may be there, which then goes in the same transaction. Only
 * where need be: when something is deleted, the kernel waits for all processors, 10 ms and more on a busy machine
 */
export function takeoverTable(port: number, replaces: boolean, lapses = true): Transaction {
  const transaction = replaces ? removeTable() : new Transaction();
  return transaction
    .addTable(table)
    .addSet({ ...armed, key: [service], size: 4, flags: ["timeout", "dynamic"] })
    .addChain({ ...chain, at: { type: "filter", hook: "output", priority: -310 } })
    .addChain({ ...claim, at: { type: "nat", hook: "output", priority: -101 } })
    .addChain({ ...stay, at: { type: "nat", hook: "postrouting", priority: 99 } })
    .addChain({ ...back, at: { type: "filter", hook: "postrouting", priority: 310 } })
    .addRule(chain, [meta.mark.is(DOCKER_RESOLVER_MARK), accept])
    .addRule(chain, toUs(udp.dport, port, lapses))
    .addRule(chain, toUs(tcp.dport, port, lapses))
    .addRule(chain, [...fromUs(udp.sport, port), isToResolver, udp.dport.is(RESOLVER_PORT), udp.dport.set(port)]) // the first heartbeat
    .addRule(claim, [isToResolver, udp.dport.is(port), dnatTo({ ip: RESOLVER_ADDRESS, port })])
    .addRule(claim, [isToResolver, tcp.dport.is(port), dnatTo({ ip: RESOLVER_ADDRESS, port })])
    .addRule(stay, [...fromUs(udp.sport, port), isToResolver, snatTo({ ip: RESOLVER_ADDRESS, port })]) // a heartbeat comes from us
    .addRule(back, [...fromUs(udp.sport, port), ip.ttl.is(LETTING_GO_TTL), udp.sport.set(RESOLVER_PORT), accept])
    .addRule(back, [...fromUs(udp.sport, port), udp.sport.set(RESOLVER_PORT), update("armed", udp.sport, renewedFor)])
    .addRule(back, [...fromUs(tcp.sport, port), tcp.sport.set(RESOLVER_PORT)]);
}

const isToResolver = ip.daddr.is(RESOLVER_ADDRESS);
const isFromResolver = ip.saddr.is(RESOLVER_ADDRESS);

function toUs(dport: typeof udp.dport, port: number, lapses: boolean) {
  return [isToResolver, lapses ? dport.isIn(armed.set) : dport.is(RESOLVER_PORT), dport.set(port)];
}

function fromUs(sport: typeof udp.sport, port: number) {
  return [isFromResolver, sport.is(port)];
}

/** Ends the takeover at once; what is on its way back still passes. Fails with ENOENT when the set is empty already, or gone. */
export function disarm(): Transaction {
  return new Transaction().deleteElements(armed, [port53]);
}

/** Removes the table, if it is there. */
export function removeTable(): Transaction {
  return new Transaction().addTable(table).deleteTable(table);
}

export function hasTakeoverTable(rules: Ruleset): boolean {
  return rules.hasTable(table);
}

/** Our table in a namespace: the port it leads to, and whether it is in effect. */
export interface LoadedTable {
  readonly port: number;
  readonly armed: boolean;
  /** Its rules are those of this version. */
  readonly current: boolean;
  /** It acts only while it is renewed. */
  readonly lapses: boolean;
}

/** @returns undefined when there is no table of ours; one of that name with other rules is not ours */
export function loadedTable(rules: Ruleset, budget: Budget): LoadedTable | undefined {
  if (!hasTakeoverTable(rules)) return undefined;
  const found = rules
    .rules(chain, budget)
    .map(({ expressions }) => ({ leads: leadOf(expressions), expressions }))
    .find(({ leads }) => leads !== undefined);
  if (found?.leads === undefined) return undefined;
  const { port, lapses } = found.leads;
  const current =
    JSON.stringify(stripped(found.expressions)) === JSON.stringify(stripped(rule("ip", toUs(udp.dport, port, lapses))));
  return { port, armed: !lapses || rules.element(armed, port53.key) !== undefined, current, lapses };
}

/** The port of the rule that leads questions over UDP to us, or did in an earlier version, which mended checksums in another way or did not track. */
function leadOf(expressions: readonly Expression[]): Pick<LoadedTable, "port" | "lapses"> | undefined {
  const bytes = expressions.flatMap((expression) =>
    expression.kind === "immediate" && expression.data && "bytes" in expression.data ? [expression.data.bytes] : [],
  )[0];
  if (bytes?.length !== service.length) return undefined;
  const port = bytes.readUInt16BE();
  const isAlike = (fields: Expression[]) =>
    JSON.stringify(
      stripped(fields.filter(({ kind }) => kind !== "notrack")).map((field) =>
        Object.entries(field).filter(([name]) => !name.startsWith("checksum")),
      ),
    );
  const lapses = [true, false].find(
    (lapses) => isAlike([...expressions]) === isAlike(rule("ip", toUs(udp.dport, port, lapses))),
  );
  return lapses === undefined ? undefined : { port, lapses };
}

/** Without fields the kernel tells as 0 where they were left out. */
function stripped(expressions: readonly Expression[]): object[] {
  return expressions.map((expression) =>
    Object.fromEntries(
      Object.entries(expression)
        .filter(([, value]) => value !== 0 && value !== undefined)
        .sort(([a], [b]) => (a < b ? -1 : 1)),
    ),
  );
}
