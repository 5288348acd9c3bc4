import type { Logger } from "pino";
import { describeError, PontoonError } from "../../common/errors.js";
import { containerToAdopt } from "./adopt-container.js";
import type { AdoptedContainers } from "./adopted-containers.js";
import type { CreateSandboxRequest } from "./contract.js";
import type { EndpointRequest } from "./define-endpoint.js";
import { defineSandbox } from "./define-sandbox.js";
import type { DockersContainers } from "./dockers-networks.js";
import type { Endpoints } from "./endpoints.js";
import { defaultNetwork } from "./fixed-networks.js";
import { joinedTo, requireUnshared } from "./joined.js";
import type { Networks } from "./networks.js";
import { withSandboxDefaults, type NetworkDefaults } from "./network-defaults.js";
import { newId } from "./new-id.js";
import type { Reconciler } from "./reconciler.js";
import type { NetworkRecord, SandboxRecord } from "./records.js";
import type { Registry } from "./registry.js";
import { linkedTo, removeSandboxFiles, writeSandboxFiles } from "./sandbox-files.js";
import { wantedSandbox } from "./wanted.js";

/** What {@link Sandboxes} works with. */
export interface SandboxParts {
  readonly registry: Registry;
  readonly reconciler: Reconciler;
  readonly networks: Networks;
  readonly endpoints: Endpoints;
  readonly containers: AdoptedContainers;
  readonly docker: DockersContainers;
  readonly defaults: NetworkDefaults;
  readonly log: Logger;
}

/** What a sandbox gets on a network that it is made on. */
export interface Joining {
  readonly network: NetworkRecord;
  readonly endpoint: EndpointRequest;
}

/** Makes, adopts and removes sandboxes. What changes something is called from a command of the reconciler. */
export class Sandboxes {
  constructor(private readonly parts: SandboxParts) {}

  /** Rejects with a PontoonError that says what is wrong; nothing is left of it then. */
  async create(given: CreateSandboxRequest): Promise<SandboxRecord> {
    // Names are asked of the servers of the sandbox whose network is shared.
    const asked = given.join === undefined ? withSandboxDefaults(given, this.parts.defaults) : given;
    const request = asked.container === undefined ? asked : { ...asked, ...containerToAdopt(this.parts.docker, asked) };
    const sandbox = defineSandbox(request, this.parts.registry, newId(), new Date().toISOString());
    requireNothingElse(request);
    const networks: NetworkRecord[] = [];
    for (const name of networksOf(request)) if (name !== "none") networks.push(await this.parts.networks.toJoin(name));
    return this.make(sandbox, joinings(networks, sandbox, request));
  }

  /**
   * Makes a sandbox as it is defined, with its first endpoint at once: it is registered with that when this returns. One whose
   * first network is shared with other hosts is registered together with its endpoint, not before.
   * Rejects with a PontoonError that says what is wrong; nothing is left of it then.
   */
  async make(sandbox: SandboxRecord, [first, ...others]: readonly Joining[]): Promise<SandboxRecord> {
    // What hosts agree on takes time: should the daemon end meanwhile, nothing is left here, and whoever asked can ask again.
    if (!first?.network.overlay) this.parts.registry.commit({ sandboxes: [sandbox] });
    const made = [{ ...wantedSandbox(sandbox), isFirst: true }];
    try {
      if (first) await this.parts.endpoints.connect(first.network, sandbox, first.endpoint, made);
      else await this.parts.reconciler.change({ sandboxes: made });
      for (const { network, endpoint } of others) await this.parts.endpoints.connect(network, sandbox, endpoint);
    } catch (error) {
      await this.#takeBack(sandbox);
      throw error;
    }
    this.writeFiles(sandbox);
    return this.parts.registry.sandbox(sandbox.id);
  }

  /** Why it has to be is what matters to whoever asked, not that something of it is left. */
  async #takeBack(sandbox: SandboxRecord): Promise<void> {
    try {
      await this.remove(sandbox);
    } catch (error) {
      this.parts.log.warn(
        { sandbox: sandbox.name, reason: describeError(error) },
        "a sandbox that could not be made could not be removed either",
      );
    }
  }

  /** Rejects with SANDBOX_SHARED while others have its network stack. */
  async remove(sandbox: SandboxRecord): Promise<void> {
    requireUnshared(this.parts.registry, sandbox);
    const endpoints = this.parts.registry.endpointsOf({ sandbox: sandbox.id });
    const removed = { endpoints: endpoints.map(({ id }) => id), sandboxes: [sandbox.id] };
    this.parts.endpoints.giveBack(endpoints);
    this.parts.endpoints.owe(endpoints);
    await this.parts.reconciler.change({ removed });
    this.parts.registry.commit({ removed });
    removeSandboxFiles(sandbox);
    this.parts.containers.restoreFiles(sandbox);
    for (const each of linkedTo(this.parts.registry, sandbox)) this.#write(each);
    await this.parts.endpoints.release(endpoints);
  }

  /** Its own files, and those of sandboxes that are linked to it, or share its network stack. */
  writeFiles(sandbox: SandboxRecord): void {
    for (const each of [sandbox, ...joinedTo(this.parts.registry, sandbox), ...linkedTo(this.parts.registry, sandbox)])
      this.#write(each);
  }

  #write(sandbox: SandboxRecord): void {
    writeSandboxFiles(this.parts.registry, sandbox);
    this.parts.containers.writeFiles(sandbox);
  }
}

/** What names one endpoint alone counts for the first network. */
function joinings(
  networks: readonly NetworkRecord[],
  sandbox: SandboxRecord,
  { ips, aliases, links, mac, bandwidth }: CreateSandboxRequest,
): Joining[] {
  return networks.map((network, index) => ({
    network,
    endpoint: {
      network: network.id,
      sandbox: sandbox.id,
      ips: index === 0 ? ips : [],
      aliases,
      links,
      gatewayPriority: 0,
      ...(index === 0 && mac !== undefined && { mac }),
      ...(bandwidth !== undefined && { bandwidth }),
    },
  }));
}

function networksOf({ networks, join }: CreateSandboxRequest): readonly string[] {
  return networks.length > 0 || join !== undefined ? networks : [defaultNetwork.name];
}

/** A sandbox on `none` has no place where anything else could be so. */
function requireNothingElse({ name, networks, ips, mac, aliases, links, bandwidth }: CreateSandboxRequest): void {
  const isAlone =
    networks.length === 1 && ips.length + aliases.length + links.length === 0 && (mac ?? bandwidth) === undefined;
  if (!networks.includes("none") || isAlone) return;
  throw new PontoonError(
    "NETWORK_FIXED",
    "none",
    `sandbox ${name} cannot be on the network none with other networks, addresses, aliases, links or a bandwidth; leave out one or the other`,
  );
}
