import { DockerHost } from "../../integration/lab/index.js";
import { measureChanges } from "./changes.js";
import { latencyRow, localNamesRows, outsideNamesRow, startRow } from "../lib/goals.js";
import { measureLatency, steadyRate } from "./latency.js";
import { together, type Bench, type Outcome } from "../lib/measure.js";
import { aardvarkPeer } from "../peers/aardvark.js";
import { dnsmasqPeer } from "../peers/dnsmasq.js";
import { dockerdPeer } from "../peers/dockerd.js";
import type { Peer } from "../peers/peer.js";
import { pontoonPeer } from "../peers/pontoon.js";
import { buildSite, type Site } from "./site.js";
import { measureStarts } from "./start-latency.js";
import { latencyTable, peersTable } from "../lib/table.js";
import { measureThroughput } from "./throughput.js";
import { resolvConf } from "./upstream.js";

/** What is measured on one host with an unmodified dockerd and the daemon as they ship: beside the peers, then alone. */
export async function measureOnSite(bench: Bench): Promise<Outcome> {
  const { options, progress, undo } = bench;
  progress.show("a Docker host and its containers");
  const host = await DockerHost.start(undo, { resolvConf });
  const site = await buildSite(host);
  const pontoon = await pontoonPeer(site, await host.pontoon());
  const wanted = (name: (typeof options.only)[number]) => options.only.includes(name);
  const outcomes: Outcome[] = [];
  if (wanted("local") || wanted("upstream") || wanted("p99")) outcomes.push(await measurePeers(bench, site, pontoon));
  // From here on only pontoon is of interest, and the others have left it the machine.
  if (wanted("starts")) {
    const starts = await measureStarts(site, options.starts, progress);
    outcomes.push({ rows: [startRow(starts)], tables: [], data: { starts } });
  }
  if (wanted("changes")) outcomes.push(await measureChanges(site, options.changes, progress));
  await pontoon.stop();
  return together(outcomes);
}

async function measurePeers({ options, progress }: Bench, site: Site, pontoon: Peer): Promise<Outcome> {
  const { host, local, outside } = site;
  const bare = await dnsmasqPeer(site, site.bareClient, "dnsmasq, no NAT");
  const peers = [pontoon, dockerdPeer(site), await dnsmasqPeer(site, site.plainClient), await aardvarkPeer(site)];
  const outcomes: Outcome[] = [];
  if (options.only.includes("local")) {
    const localNames = await measureThroughput(host, [...peers, bare], "local names", local, options, progress);
    outcomes.push({
      rows: localNamesRows(localNames),
      tables: [peersTable("LOCAL NAMES", localNames)],
      data: { localNames: Object.fromEntries(localNames) },
    });
  }
  if (options.only.includes("upstream")) {
    const outsideNames = await measureThroughput(host, peers, "names from upstream", outside, options, progress);
    outcomes.push({
      rows: [outsideNamesRow(outsideNames)],
      tables: [peersTable("FROM UPSTREAM", outsideNames)],
      data: { outsideNames: Object.fromEntries(outsideNames) },
    });
  }
  if (options.only.includes("p99")) {
    const latency = await measureLatency(host, peers, local, options, progress);
    outcomes.push({
      rows: [latencyRow(latency, steadyRate)],
      tables: [latencyTable("STEADY RATE", latency)],
      data: { latency: Object.fromEntries(latency) },
    });
  }
  for (const peer of [...peers, bare]) if (peer !== pontoon) await peer.stop();
  return together(outcomes);
}
