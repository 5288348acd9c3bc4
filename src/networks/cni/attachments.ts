import type { Logger } from "pino";
import { describeError, PontoonError } from "../../../common/errors.js";
import type { MappedPort } from "../../inventory/endpoint-ports.js";
import type { Endpoints } from "../endpoints.js";
import { isFixed } from "../fixed-networks.js";
import { placeIdOf } from "../inventory-source.js";
import { withLeasedDns } from "../leased-dns.js";
import type { Leases } from "../leases.js";
import type { Networks } from "../networks.js";
import type { EndpointPublisher } from "../plugin/publishing.js";
import type { Reconciler } from "../reconciler.js";
import type { EndpointRecord, NetworkRecord, SandboxRecord } from "../records.js";
import type { Registry } from "../registry.js";
import type { Sandboxes } from "../sandboxes.js";
import type { AttachmentKey, AttachRequest } from "./attach-request.js";
import {
  attachedContainer,
  defineAttachedSandbox,
  endpointRequest,
  isNamespaceOf,
  isOfContainer,
} from "./attached-sandbox.js";
import { isReachedByHost } from "../wanted.js";
import { attachedOf, type Attached } from "./attached.js";
import { ContainerEnds } from "./container-ends.js";
import { lookAtLink, requireLink, type LinkFacts } from "./link-check.js";

/** What attachments have of the rest of the daemon. */
export interface AttachSurroundings {
  readonly ports: EndpointPublisher;
  /** Resolves when names are answered in a sandbox, or are not going to be soon. @param place its id in the inventory */
  whenAnswering(place: string): Promise<void>;
}

/** What {@link Attachments} works with. */
export interface AttachmentParts {
  readonly registry: Registry;
  readonly reconciler: Reconciler;
  readonly networks: Networks;
  readonly endpoints: Endpoints;
  readonly sandboxes: Sandboxes;
  readonly leases: Pick<Leases, "settled">;
  readonly log: Logger;
  /** Does work in its turn, and tells what has become of it. */
  command<Result>(work: () => Promise<Result>): Promise<Result>;
  /** Tells the inventory what is registered by now. */
  tell(): void;
}

interface Made {
  readonly sandbox: SandboxRecord;
  readonly endpoint: EndpointRecord;
  readonly network: NetworkRecord;
}

/**
 * Containers of engines that ask for each link by itself. A container is one sandbox, which adopts its namespace and is there as
 * long as it has links.
 */
export class Attachments {
  /** Of those that no engine tells of. */
  readonly ends: ContainerEnds;

  constructor(
    private readonly parts: AttachmentParts,
    private readonly around: AttachSurroundings,
  ) {
    this.ends = new ContainerEnds({ ...parts, ports: around.ports });
  }

  /** Rejects with a PontoonError that says what is wrong; nothing is left of it then. */
  async add(request: AttachRequest): Promise<Attached> {
    const made = await this.parts.command(() => this.#attach(request));
    const { sandbox, network } = made;
    let { endpoint } = made;
    try {
      await this.parts.leases.settled(sandbox.id);
      endpoint = this.parts.registry.endpoints.get(endpoint.id) ?? endpoint;
      // Never in a turn of the reconciler's: ports take turns of their own.
      await Promise.all([
        this.#publish({ sandbox, endpoint, network }, request.ports),
        this.around.whenAnswering(placeIdOf(made.sandbox)),
      ]);
    } catch (error) {
      await this.#takeBack(request);
      throw error;
    }
    return attachedOf(withLeasedDns(this.parts.registry, sandbox), endpoint, network);
  }

  async #attach(request: AttachRequest): Promise<Made> {
    const { networks, registry, endpoints, sandboxes } = this.parts;
    const network = await networks.toJoin(request.network);
    const known = await this.#sandboxOf(request);
    const sandbox = known ?? defineAttachedSandbox(request, registry);
    const asked = endpointRequest(request, sandbox, network.id);
    const making = known
      ? endpoints.connect(network, known, asked).then(() => sandboxes.writeFiles(known))
      : sandboxes.make(sandbox, [{ network, endpoint: asked }]);
    this.parts.tell(); // its takeover takes as long as the kernel does to make a link
    await making;
    const [endpoint] = registry.endpointsOf({ network: network.id, sandbox: sandbox.id });
    return { sandbox: registry.sandbox(sandbox.id), endpoint: endpoint!, network };
  }

  /** A container that comes with another namespace was started anew, and nobody told of its end. */
  async #sandboxOf(request: AttachRequest): Promise<SandboxRecord | undefined> {
    const known = [...this.parts.registry.sandboxes.values()].find((sandbox) => isOfContainer(sandbox, request));
    if (!known || isNamespaceOf(known, request.netns)) return known;
    await this.ends.drop(known);
    return undefined;
  }

  async #publish({ sandbox, endpoint, network }: Made, ports: readonly MappedPort[]): Promise<void> {
    if (ports.length === 0) return;
    if (!isReachedByHost(network))
      throw new PontoonError(
        "NOT_PUBLISHABLE",
        sandbox.name,
        `ports of ${sandbox.name} cannot be published: the host does not reach network ${network.name}; make it with --host-access`,
      );
    const { ipv4, ipv6 } = endpoint;
    await this.around.ports.publish({
      endpoint: endpoint.id,
      container: sandbox.name,
      to: { ...(ipv4 !== undefined && { ipv4 }), ...(ipv6 !== undefined && { ipv6 }) },
      hostBinding: network.hostBinding,
      ...((network.lan ?? network.remote) && { isOnLan: true }),
      ports,
    });
  }

  /** Why it has to be is what matters to whoever asked, not that something of it is left. */
  async #takeBack(key: AttachmentKey): Promise<void> {
    try {
      await this.remove(key);
    } catch (error) {
      this.parts.log.warn({ reason: describeError(error) }, "what failed could not be taken back as a whole");
    }
  }

  /** Does nothing for what is not attached. */
  async remove(key: AttachmentKey): Promise<void> {
    const endpoint = this.#find(key);
    if (!endpoint) return;
    await this.around.ports.unpublish(endpoint.id);
    await this.parts.command(() => this.#detach(endpoint.id));
  }

  async #detach(id: string): Promise<void> {
    const { registry, endpoints, sandboxes } = this.parts;
    const endpoint = registry.endpoints.get(id);
    if (!endpoint) return;
    const sandbox = registry.sandbox(endpoint.sandbox);
    if (registry.endpointsOf({ sandbox: sandbox.id }).length === 1) return sandboxes.remove(sandbox);
    await endpoints.disconnect({ network: endpoint.network, sandbox: sandbox.id });
    sandboxes.writeFiles(sandbox);
  }

  /**
   * Compares what is with what is to be. Rejects with ATTACHMENT_UNKNOWN, ATTACHMENT_BROKEN.
   * @param hasPorts whether ports are to be published
   */
  check(key: AttachmentKey, expected: LinkFacts, hasPorts: boolean): void {
    const endpoint = this.#find(key);
    if (!endpoint)
      throw new PontoonError(
        "ATTACHMENT_UNKNOWN",
        key.container,
        `container ${key.container} is not attached to ${key.attachment} with a link ${key.ifname}; start it anew`,
      );
    const { namespace } = this.parts.registry.sandbox(endpoint.sandbox);
    const seen = namespace.kind === "adopted" ? lookAtLink(namespace.target, namespace.inode!, key.ifname) : undefined;
    requireLink(key.ifname, expected, seen);
    if (!hasPorts || this.around.ports.published().has(endpoint.id)) return;
    throw new PontoonError(
      "ATTACHMENT_BROKEN",
      key.container,
      `ports of container ${key.container} are not published any more; start it anew`,
    );
  }

  /** Removes what CNI attached to a network of its own, and does not name. */
  async collect(attachment: string, valid: readonly Pick<AttachmentKey, "container" | "ifname">[]): Promise<void> {
    const named = new Set(valid.map(({ container, ifname }) => `${container} ${ifname}`));
    for (const endpoint of [...this.parts.registry.endpoints.values()]) {
      const attached = attachedContainer(this.parts.registry.sandbox(endpoint.sandbox));
      const isMeant = attached?.engine === "cni" && endpoint.attachment === attachment;
      if (isMeant && !named.has(`${attached.container} ${endpoint.ifname}`))
        await this.remove({ ...attached, attachment, ifname: endpoint.ifname });
    }
  }

  /** Rejects when nothing could be attached to a network: NETWORKS_OFF, NETWORK_UNKNOWN. */
  async requireReady(network: string): Promise<void> {
    await this.parts.command(() => Promise.resolve());
    if (!isFixed(network)) this.parts.registry.network(network);
  }

  #find({ attachment, ifname, ...container }: AttachmentKey): EndpointRecord | undefined {
    const { registry } = this.parts;
    return [...registry.endpoints.values()].find(
      (endpoint) =>
        endpoint.attachment === attachment &&
        endpoint.ifname === ifname &&
        isOfContainer(registry.sandbox(endpoint.sandbox), container),
    );
  }
}
