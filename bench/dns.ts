// `npm run bench -- dns`: pontoon beside Docker's own resolver, dnsmasq and aardvark-dns.
import { DockerHost } from "../integration/host/index.js";
import { Cleanup } from "./cleanup.js";
import { localNamesRows, startRow } from "./goals.js";
import { measureLocalNames } from "./local-names.js";
import { describeMachine } from "./machine.js";
import { readOptions, usage, UsageError, type Options } from "./options.js";
import { aardvarkPeer } from "./peers/aardvark.js";
import { dnsmasqPeer } from "./peers/dnsmasq.js";
import { dockerdPeer } from "./peers/dockerd.js";
import { pontoonPeer } from "./peers/pontoon.js";
import { Progress } from "./progress.js";
import { writeResults } from "./results.js";
import { buildSite, type Site } from "./site.js";
import { measureStarts } from "./start-latency.js";
import { goalsTable, peersTable } from "./table.js";

const progress = new Progress();
const cleanup = new Cleanup();

try {
  const options = readOptions(process.argv.slice(2));
  await run(options);
} catch (error) {
  if (!cleanup.interrupted) fail(error);
}
if (!cleanup.interrupted) {
  await cleanup.run();
  process.exit();
}

async function run(options: Options): Promise<void> {
  progress.show("a Docker host and its containers");
  const site = await prepareSite();
  const pontoon = await pontoonPeer(site, await site.host.pontoon());
  const peers = [pontoon, dockerdPeer(site), await dnsmasqPeer(site, site.plainAsker), await aardvarkPeer(site), await dnsmasqPeer(site, site.bareAsker, "dnsmasq, no NAT")];
  const machine = await describeMachine(site.host, pontoon.version);
  const localNames = await measureLocalNames(site, peers, options, progress);
  // From here on only pontoon is of interest, and the others are to leave it the machine.
  for (const peer of peers) if (peer !== pontoon) await peer.stop();
  const starts = await measureStarts(site, options.starts, progress);
  await pontoon.stop();
  progress.clear();
  const rows = [...localNamesRows(localNames), startRow(starts)];
  process.stdout.write(`${peersTable(localNames)}\n\n${goalsTable(rows)}\n\n`);
  const file = writeResults("dns", { benchmark: "dns", machine, options, goals: rows, localNames: Object.fromEntries(localNames), starts });
  process.stdout.write(`${machine.cores} cores, Linux ${machine.kernel}; all rounds in ${file}\n`);
}

/** The host's upstream knows no name, so that only what is local is answered. */
async function prepareSite(): Promise<Site> {
  const host = await DockerHost.start(cleanup, { resolvConf: "nameserver 10.77.0.2\n" });
  const outside = await host.outside();
  await outside.dns();
  return buildSite(host);
}

function fail(error: unknown): void {
  progress.clear();
  const message = error instanceof Error ? error.message : String(error);
  const isUsage = error instanceof UsageError;
  process.stderr.write(`bench: ${message}\n${isUsage ? `${usage}\n` : ""}`);
  process.exitCode = isUsage ? 2 : 1;
}
