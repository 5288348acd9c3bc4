import type { Logger } from "pino";
import { describeError, PontoonError } from "../../common/errors.js";
import { containerToAdopt } from "./adopt-container.js";
import type { AdoptedContainers } from "./adopted-containers.js";
import type { CreateSandboxRequest } from "./contract.js";
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
    this.parts.registry.commit({ sandboxes: [sandbox] });
    try {
      await this.parts.reconciler.change({ sandboxes: [{ ...wantedSandbox(sandbox), isFirst: true }] });
      await this.#join(networks, this.parts.registry.sandbox(sandbox.id), request);
    } catch (error) {
      await this.#takeBack(sandbox);
      throw error;
    }
    this.writeFiles(sandbox);
    return this.parts.registry.sandbox(sandbox.id);
  }

  /** What names one endpoint alone counts for the first network. */
  async #join(networks: readonly NetworkRecord[], sandbox: SandboxRecord, request: CreateSandboxRequest) {
    const { ips, aliases, links, mac } = request;
    for (const [index, network] of networks.entries())
      await this.parts.endpoints.connect(network, sandbox, {
        network: network.id,
        sandbox: sandbox.id,
        ips: index === 0 ? ips : [],
        aliases,
        links,
        gatewayPriority: 0,
        ...(index === 0 && mac !== undefined && { mac }),
      });
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
    await this.parts.reconciler.change({ removed });
    this.parts.registry.commit({ removed });
    this.parts.endpoints.release(endpoints);
    removeSandboxFiles(sandbox);
    this.parts.containers.restoreFiles(sandbox);
    for (const each of linkedTo(this.parts.registry, sandbox)) this.#write(each);
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

function networksOf({ networks, join }: CreateSandboxRequest): readonly string[] {
  return networks.length > 0 || join !== undefined ? networks : [defaultNetwork.name];
}

/** A sandbox on `none` has no place where anything else could be so. */
function requireNothingElse({ name, networks, ips, mac, aliases, links }: CreateSandboxRequest): void {
  const isAlone = networks.length === 1 && ips.length + aliases.length + links.length === 0 && mac === undefined;
  if (!networks.includes("none") || isAlone) return;
  throw new PontoonError(
    "NETWORK_FIXED",
    "none",
    `sandbox ${name} cannot be on the network none with other networks, addresses, aliases or links; leave out one or the other`,
  );
}
