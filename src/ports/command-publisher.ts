import { checkPublication, type PublicationOptions } from "../../proxy/publication/publication.js";
import type { PublishRequest, UnpublishRequest } from "./contract.js";
import { PontoonError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import { containerNamed, unpublishable } from "../inventory/targets.js";
import type { Container } from "../inventory/types.js";
import type { PortBinder } from "./port-binder.js";
import type { Entry } from "./entry.js";
import type { PublishedPorts } from "./published-ports.js";
import { countOf, mappingsOf, matcherOf, parsePortSpec, publishLabel, type PortMapping } from "./spec.js";

/** Ports of the container that one request may publish. */
const portsOfRequest = 16_384;

/** Publishes what `pontoon publish` asks for, and takes it back. One request after the other: each sees what those before have done. */
export class CommandPublisher {
  constructor(
    private readonly inventory: Inventory,
    private readonly ports: PublishedPorts,
    private readonly binder: PortBinder,
  ) {}

  /**
   * Publishes all of a request or nothing. Rejects with NO_SUCH_CONTAINER, NOT_PUBLISHABLE, PORT_SPEC_INVALID, TOO_MANY_PORTS, PORT_TAKEN and what
   * else keeps a port from being bound, PUBLICATION_INVALID, STORE_UNWRITABLE or SERVER_SILENT.
   */
  async publish(request: PublishRequest): Promise<readonly Entry[]> {
    const container = this.#publishableContainer(request.container);
    const mappings = mappingsOfRequest(request, container);
    const binding = this.binder.bindingOf(container, request.ip);
    const common = {
      container: container.name,
      binding,
      options: optionsOf(request, mappings),
      source: "command",
    } as const;
    return await this.ports.add(await this.binder.bindAll(mappings.map((mapping) => ({ ...common, mapping }))));
  }

  /** Frees ports. Rejects with NOT_PUBLISHED, PORT_SPEC_INVALID or STORE_UNWRITABLE; then nothing has changed. */
  async unpublish({ container: nameOrId, specs }: UnpublishRequest): Promise<readonly Entry[]> {
    const name = containerNamed(this.inventory, nameOrId)?.name ?? nameOrId;
    const all = this.ports.all.filter(({ port }) => port.container === name);
    const own = all.filter(({ port }) => port.source === "command");
    const chosen = specs.length === 0 ? own : [...new Set(specs.flatMap((spec) => this.#chosen(name, all, own, spec)))];
    if (chosen.length === 0)
      throw new PontoonError(
        "NOT_PUBLISHED",
        name,
        `\`pontoon publish\` has published nothing of ${name}; \`pontoon port\` shows what is published`,
      );
    await this.ports.remove(chosen);
    return chosen;
  }

  #chosen(name: string, all: readonly Entry[], own: readonly Entry[], spec: string): Entry[] {
    const isMeant = matcherOf(spec);
    const chosen = own.filter(({ port }) => isMeant(port));
    if (chosen.length > 0) return chosen;
    if (all.some(({ port }) => isMeant(port)))
      throw new PontoonError(
        "NOT_PUBLISHED",
        name,
        all.some(({ port }) => isMeant(port) && port.source === "driver")
          ? `${spec} of ${name} is published by its \`docker run -p\`; make the container anew without`
          : `${spec} of ${name} is published by its label ${publishLabel}; change the label, and make the container anew`,
      );
    throw new PontoonError(
      "NOT_PUBLISHED",
      name,
      `pontoon does not publish ${spec} of ${name}; \`pontoon port\` shows what is published`,
    );
  }

  #publishableContainer(nameOrId: string): Container {
    const container = containerNamed(this.inventory, nameOrId);
    if (!container)
      throw new PontoonError(
        "NO_SUCH_CONTAINER",
        nameOrId,
        `no container or sandbox is called ${nameOrId}; see \`pontoon status\``,
      );
    const reason = unpublishable(this.inventory, container);
    if (reason !== undefined) throw new PontoonError("NOT_PUBLISHABLE", container.name, reason);
    return container;
  }
}

/** What a request asks for of a container. Throws PORT_SPEC_INVALID, TOO_MANY_PORTS, and NOT_PUBLISHABLE for nothing at all. */
function mappingsOfRequest(request: PublishRequest, container: Container): PortMapping[] {
  const specs = request.specs.map(parsePortSpec);
  const exposed = request.all === true ? exposedOf(container) : [];
  const count = specs.reduce((sum, spec) => sum + countOf(spec), exposed.length);
  if (count > portsOfRequest)
    throw new PontoonError(
      "TOO_MANY_PORTS",
      container.name,
      `${count} ports are more than pontoon publishes at once (${portsOfRequest}); publish fewer`,
    );
  const mappings = [...specs.flatMap(mappingsOf), ...exposed];
  if (mappings.length === 0)
    throw new PontoonError(
      "NOT_PUBLISHABLE",
      container.name,
      `${container.name} exposes no port; name those to publish, such as 8080:80`,
    );
  return mappings;
}

/** Throws TOO_MANY_PORTS for a container with more than are known of it. */
function exposedOf({ name, excess, ports }: Container): PortMapping[] {
  if (excess)
    throw new PontoonError(
      "TOO_MANY_PORTS",
      name,
      `${name} cannot be published whole: ${excess.reason}; name the ports`,
    );
  return ports.map(([containerPort, transport]) => ({ ip: undefined, hostPorts: undefined, containerPort, transport }));
}

/** Throws PUBLICATION_INVALID for options that do not fit all of the ports. */
function optionsOf({ options = {}, container }: PublishRequest, mappings: readonly PortMapping[]): PublicationOptions {
  const listen = { ip: "0.0.0.0", port: 1 };
  const transports = new Set(mappings.map(({ transport }) => transport));
  for (const protocol of ["tcp", "udp"] as const)
    if (transports.has(protocol)) checkPublication({ id: container, protocol, listen, options });
  return options;
}
