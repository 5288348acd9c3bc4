import type { LinkAccept } from "../../../network/firewall/wanted.js";
import type { Inventory } from "../../inventory/inventory.js";
import type { Container, Endpoint } from "../../inventory/types.js";

/** Digits of an id by which a link may name a container, at least. */
const idAtLeast = 12;

/**
 * On networks whose containers do not reach one another: exposed ports that a container reaches since it has a link.
 * @param isQuiet whether a network is one of those, by id
 */
export function dockerLinkAccepts(
  inventory: Pick<Inventory, "containers">,
  isQuiet: (network: string) => boolean,
): LinkAccept[] {
  const places = [...inventory.containers.values()].flatMap((container) =>
    container.endpoints
      .filter(({ networkId, ipv4, ipv6 }) => isQuiet(networkId) && (ipv4 ?? ipv6) !== undefined)
      .map((endpoint) => ({ container, endpoint })),
  );
  return places.flatMap(({ container, endpoint }) =>
    endpoint.links.flatMap(([target]) =>
      places
        .filter((other) => other.endpoint.networkId === endpoint.networkId && isCalled(other, target))
        .flatMap((other) => acceptsOf(container, endpoint, other)),
    ),
  );
}

/** As Docker's resolver knows it on that network. */
function isCalled({ container, endpoint }: { container: Container; endpoint: Endpoint }, name: string): boolean {
  return (
    container.name === name ||
    endpoint.aliases.includes(name) ||
    (name.length >= idAtLeast && container.id.startsWith(name))
  );
}

function acceptsOf(
  { name }: Container,
  from: Endpoint,
  { container: { ports }, endpoint: to }: { container: Container; endpoint: Endpoint },
): LinkAccept[] {
  const ways = [
    [from.ipv4, to.ipv4],
    [from.ipv6, to.ipv6],
  ] as const;
  return ports.flatMap(([port, transport]) =>
    ways.flatMap(([source, target]) =>
      transport === "sctp" || source === undefined || target === undefined
        ? []
        : [{ owner: `container ${name}`, from: source, to: target, transport, port }],
    ),
  );
}
