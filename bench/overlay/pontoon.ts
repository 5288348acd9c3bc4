import { BareHost, EtcdCluster, Underlay, type Pontoon } from "../../integration/lab/index.js";
import { resolvConf } from "../dns/upstream.js";
import type { Undo } from "../lib/cleanup.js";
import type { Run } from "../network/loads.js";
import { comes, far, near, network, subnet } from "./names.js";
import { bulkPort, iperfServer, programs } from "./programs.js";
import type { Side } from "./side.js";

/** A host without Docker, and its daemon. */
export interface PontoonHost {
  readonly host: BareHost;
  readonly pontoon: Pontoon;
}

/** pontoon's overlay. */
export async function startPontoon(undo: Undo): Promise<Side> {
  const underlay = await Underlay.start(undo);
  const etcd = await EtcdCluster.on(underlay);
  const first = await startHost(undo, underlay, etcd, 1);
  const second = await startHost(undo, underlay, etcd, 2);
  await createNetwork(first);
  await command(first, "sandbox", "create", near, "--network", network);
  await command(second, "sandbox", "create", far, "--network", network);
  await command(first, "sandbox", "create", comes, "--network", network);
  await command(first, "network", "disconnect", network, comes);
  await first.host.exec(inSandbox(near, iperfServer));
  return {
    name: "pontoon",
    backend: "pontoon",
    connecting: first.host.helper(programs.connect),
    asking: second.host.helper(programs.name, namespaceOf(far)),
    bulk: {
      server: within(first.host, near),
      serverPort: bulkPort,
      client: within(second.host, far),
      address: await addressOf(first.host, near),
      port: bulkPort,
    },
  };
}

/** Starts a host with an upstream, which denies every name at once, and the daemon, which joins the others. */
export async function startHost(
  undo: Undo,
  underlay: Underlay,
  etcd: EtcdCluster,
  number: number,
): Promise<PontoonHost> {
  const uplink = underlay.uplink(number);
  const host = await BareHost.start(undo, { uplink, resolvConf });
  await (await host.outside()).dns();
  const args = ["--store", etcd.url, "--advertise", uplink.address];
  return { host, pontoon: await host.pontoon({ args }) };
}

/** Creates the network that is measured. */
export function createNetwork(host: PontoonHost): Promise<void> {
  return command(host, "network", "create", "-d", "overlay", network, "--subnet", subnet);
}

/** Runs the pontoon command on a host. Rejects when it fails. */
export async function command({ pontoon }: PontoonHost, ...args: string[]): Promise<void> {
  const { exitCode, stderr } = await pontoon.cli(...args);
  if (exitCode !== 0) throw new Error(`pontoon ${args.join(" ")}: ${stderr}`);
}

/** Where a host has the network namespace of a sandbox. */
export function namespaceOf(sandbox: string): string {
  return `/run/netns/${sandbox}`;
}

async function addressOf(host: BareHost, sandbox: string): Promise<string> {
  const { stdout } = await host.exec(inSandbox(sandbox, ["ip", "-4", "-o", "address", "show", "scope", "global"]));
  const found = /inet ([\d.]+)\//.exec(stdout)?.[1];
  if (found === undefined) throw new Error(`${sandbox} has no address: ${stdout}`);
  return found;
}

function within(host: BareHost, sandbox: string): Run {
  return (argv, options) => host.exec(inSandbox(sandbox, argv), options);
}

function inSandbox(sandbox: string, argv: readonly string[]): string[] {
  return ["nsenter", `--net=${namespaceOf(sandbox)}`, "--", ...argv];
}
