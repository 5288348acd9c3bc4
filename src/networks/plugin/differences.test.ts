import t from "tap";
import type { DriverNetwork } from "../../inventory/driver-network.js";
import {
  addressDifferences,
  confirmed,
  confirmedAddresses,
  differencesOf,
  hasNews,
  usualGateway,
  type Stored,
} from "./differences.js";
import type { AddressRecord, DockerEndpointRecord, PoolRecord } from "./records.js";
import { dockerNetworkRecord } from "./testing/docker-network.js";

const minute = 60_000;
const now = 100 * minute;
const long = now - minute;
const just = now - 1000;

const byId = <Item extends { readonly id: string }>(...all: Item[]) => new Map(all.map((item) => [item.id, item]));
const network = (number: number, since = long, isListed = true) =>
  dockerNetworkRecord(number, { created: new Date(since).toISOString(), isListed });
const endpoint = (id: string, on: string, since = long): DockerEndpointRecord => ({
  id,
  network: on,
  hostLink: id,
  mac: "02:00:00:00:00:02",
  ipv4: "10.1.0.2",
  since,
  ports: [],
});
const pool = (subnet: string, since = long, isListed = true): PoolRecord => ({ id: subnet, subnet, since, isListed });
const address = (text: string, rest: Partial<AddressRecord> = {}): AddressRecord => ({
  id: `10.1.0.0/24 ${text}`,
  pool: "10.1.0.0/24",
  address: text,
  since: long,
  isGiven: true,
  use: "any",
  ...rest,
});
const engine = (id: string, rest: Partial<DriverNetwork> = {}): DriverNetwork => ({
  id,
  name: `name of ${id}`,
  driver: "pontoon",
  ipamDriver: "pontoon",
  internal: false,
  ipv6: false,
  options: {},
  pools: [{ subnet: "10.1.0.0/24", ipRange: undefined, gateway: "10.1.0.1", auxiliary: [] }],
  endpoints: [],
  ...rest,
});
const place = (id: string, ipv4: string, container: string | null = "c".repeat(64)) => ({
  id,
  container: container ?? undefined,
  name: "web",
  mac: "",
  ipv4,
  ipv6: undefined,
});
const stored = (parts: Partial<Stored>): Stored => ({
  networks: new Map(),
  endpoints: new Map(),
  pools: new Map(),
  addresses: new Map(),
  ...parts,
});
const ids = (all: readonly { readonly id: string }[]) => all.map(({ id }) => id);

t.test("what dockerd does not list is gone, unless it may be just about it, or another dockerd's", (t) => {
  const [old, young, unlisted] = [network(1), network(2, just), network(3, long, false)];
  const have = stored({
    networks: byId(old, young, unlisted),
    endpoints: byId(
      endpoint("e1", old.id),
      endpoint("e2", old.id, just),
      endpoint("e3", unlisted.id),
      endpoint("e4", old.id),
    ),
    pools: byId(pool("10.1.0.0/24"), pool("10.2.0.0/24", just), pool("10.3.0.0/24", long, false)),
  });
  const nothing = differencesOf(have, [], now, true);
  t.same(nothing.networksGone, [old.id, unlisted.id]);
  t.same(nothing.endpointsGone, ["e1", "e3", "e4"]);
  t.same(nothing.poolsGone, ["10.1.0.0/24", "10.3.0.0/24"]);
  const beside = differencesOf(have, [], now, false);
  t.same(beside.networksGone, [old.id], "what was never listed may be another dockerd's");
  t.same(beside.endpointsGone, ["e1", "e4"]);
  t.same(beside.poolsGone, ["10.1.0.0/24"]);
  const listed = engine(old.id, { endpoints: [place("e1", "10.1.0.2"), place("e4", "10.1.0.3", null)] });
  const there = differencesOf(have, [listed, engine(unlisted.id, { pools: [] })], now, true);
  t.same(there.networksGone, []);
  t.same(there.endpointsGone, ["e3"], "one that a crash has left counts");
  t.same(there.poolsGone, ["10.3.0.0/24"]);
  t.same(ids(there.networksListed), [unlisted.id], "seen for the first time");
  t.same(ids(there.poolsListed), []);
  t.end();
});

t.test("what dockerd has and the store has not is told", (t) => {
  const bridge = engine("n2", { driver: "bridge", endpoints: [place("e9", "10.1.0.9")] });
  const ours = engine("n1", { endpoints: [place("e1", "10.1.0.2"), place("e2", "10.1.0.3", null)] });
  const { networksUnknown, endpointsUnknown } = differencesOf(stored({}), [ours, bridge], now, true);
  t.same(ids(networksUnknown), ["n1"], "not that of another driver, which has its addresses of us only");
  t.same(
    endpointsUnknown.map(({ network, endpoint: { id } }) => `${network} ${id}`),
    ["n1 e1"],
    "and not a place of nobody",
  );
  t.end();
});

t.test("addresses are taken, kept and free as dockerd and its users have it", (t) => {
  const pools = [{ subnet: "10.1.0.0/24", ipRange: undefined, gateway: undefined, auxiliary: ["10.1.0.200"] }];
  const on = engine("n1", { pools, endpoints: [place("e1", "10.1.0.2"), place("e2", "10.1.0.3")] });
  const addresses = byId(
    address("10.1.0.1", { use: "gateway" }),
    address("10.1.0.3"),
    address("10.1.0.4"),
    address("10.1.0.5", { since: just }),
    address("10.1.0.6", { use: "named" }),
    address("10.1.0.7", { use: "named", isGiven: false }),
    address("10.1.0.8", { use: "named", isGiven: false }),
  );
  const named = (id: string) => (id === "n1" ? ["10.1.0.6", "10.1.0.8", "10.1.0.9", "10.1.0.3", "10.7.0.1"] : []);
  const { taken, kept, free } = addressDifferences({ addresses }, [on], named, now);
  t.same(
    taken.map(({ address, use }) => `${address} ${use}`),
    ["10.1.0.2 any", "10.1.0.200 named"],
  );
  t.same(
    kept.map(({ address }) => address),
    ["10.1.0.6", "10.1.0.9"],
    "one that was given and is nobody's, and one of a container that has not run yet",
  );
  t.same(
    free.map(({ address }) => address),
    ["10.1.0.4", "10.1.0.7"],
    "not one that is just given, and not the gateway",
  );
  t.same(addressDifferences({ addresses: new Map() }, [on], () => [], now).taken.at(-1)?.use, "gateway");
  const others = addressDifferences({ addresses: new Map() }, [engine("n1", { ipamDriver: "default" })], named, now);
  t.same(others, { taken: [], kept: [], free: [] }, "Docker's own addresses are Docker's");
  t.end();
});

t.test("a gateway that nobody named is the first address that could be given", (t) => {
  t.equal(usualGateway("10.1.0.0/24", undefined), "10.1.0.1");
  t.equal(usualGateway("10.1.0.0/16", "10.1.4.0/24"), "10.1.4.0");
  t.equal(usualGateway("fd00:1::/64", undefined), "fd00:1::1");
  t.end();
});

t.test("what dockerd has and the store has not counts when it is so for longer", (t) => {
  const look = (...engines: DriverNetwork[]) =>
    [
      differencesOf(stored({}), engines, now, true),
      addressDifferences({ addresses: new Map() }, engines, () => [], now),
    ] as const;
  const stays = engine("n1", { endpoints: [place("e1", "10.1.0.2")] });
  const goes = engine("n2", { endpoints: [place("e2", "10.1.0.3")] });
  const [before, after] = [look(stays, goes), look(stays)];
  t.ok(hasNews(...before));
  t.notOk(hasNews(...look()));
  t.same(ids(confirmed(before[0], after[0]).networksUnknown), ["n1"]);
  const { endpointsUnknown } = confirmed(before[0], after[0]);
  t.same(
    endpointsUnknown.map(({ endpoint: { id } }) => id),
    ["e1"],
  );
  t.same(
    confirmedAddresses(before[1], after[1]).taken.map(({ address }) => address),
    ["10.1.0.2", "10.1.0.1"],
  );
  t.end();
});
