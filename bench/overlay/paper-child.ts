// Hosts on paper: in etcd they are hosts with endpoints, written by the cluster's own code, and in touch, with a lease each.
// They have no daemon, no kernel and no copy of anything, so that one machine has room for as many as one likes.
import { pino } from "pino";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { Cluster } from "../../src/cluster/cluster.js";
import { Mirror } from "../../src/cluster/mirror.js";
import { keys, type HostRecord, type SharedEndpoint } from "../../src/cluster/records.js";
import { joining } from "../../src/cluster/transactions.js";
import { EtcdStore } from "../../src/store/etcd/etcd-store.js";
import { parseStoreUrl } from "../../src/store/etcd/store-url.js";
import { newId } from "../../src/networks/new-id.js";

export type PaperRequest =
  /** @param url what `--store` takes */
  | { readonly kind: "join"; readonly url: string; readonly hosts: number }
  /** Endpoints `e<from>` to before `e<to>`, host by host in turn. */
  | { readonly kind: "claim"; readonly network: string; readonly from: number; readonly to: number };

/** Claims under way at a time, of all hosts together. */
const atOnce = 16;
/** Addresses below are left to hosts that are there. */
const firstAddress = 1000;
const ttl = 15;
const log = pino({ enabled: false });

let store: EtcdStore;
const clusters: Cluster[] = [];

answerRequests(async (request: PaperRequest): Promise<void> => {
  if (request.kind === "join") {
    store = new EtcdStore({ endpoints: parseStoreUrl(request.url), log });
    for (let number = 0; number < request.hosts; number++) clusters.push(await join(number));
  } else await claimAll(request.network, request.from, request.to);
});

async function join(number: number): Promise<Cluster> {
  const host: HostRecord = {
    id: newId().slice(0, 32),
    name: `paper${number}`,
    advertise: `10.99.1.${number}`,
    joined: "",
  };
  await store.commit(joining(host, undefined));
  await new Promise<void>((resolve) => {
    const alive = { key: keys.alive(host.id), value: { since: new Date().toISOString() } };
    store.keepPresent(alive, ttl, { onHeld: () => resolve(), onLost: () => undefined });
  });
  const place = {
    requireJoined: () => undefined,
    read: (below: string) => store.read(below),
    commit: (transaction: Parameters<EtcdStore["commit"]>[0]) => store.commit(transaction),
  };
  return new Cluster(host, new Mirror(), place, log);
}

async function claimAll(network: string, from: number, to: number): Promise<void> {
  let next = from;
  const work = async () => {
    while (next < to) {
      const index = next++;
      const cluster = clusters[index % clusters.length]!;
      const claimed = await cluster.claim(endpointOf(network, cluster.host.id, index));
      if (claimed.kind !== "done") throw new Error(`${claimed.ips.join()} is taken`);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

function endpointOf(network: string, host: string, index: number): SharedEndpoint {
  const number = firstAddress + index;
  const octets = [10, 88, number >> 8, number & 255];
  const name = `e${index}`;
  return {
    ...{ id: newId(), network, host, sandbox: newId(), name, hostname: name, aliases: [], exposed: [] },
    ipv4: octets.join("."),
    mac: [0x02, 0x42, ...octets].map((octet) => octet.toString(16).padStart(2, "0")).join(":"),
  };
}
