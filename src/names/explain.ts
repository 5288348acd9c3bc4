import type { Explanation } from "../../dns/protocol.js";
import { PontoonError } from "../../common/errors.js";
import type { Inventory } from "../inventory/inventory.js";
import { containerNamed, namespaceOwner } from "../inventory/targets.js";
import type { Decision } from "./records.js";

/** Who knows where a container's questions are answered, and how. */
export interface Explainer {
  /** By container. */
  readonly decisions: ReadonlyMap<string, Decision>;
  /** @returns undefined when the server does not know the sandbox or cannot read the query */
  explain(sandbox: string, query: Buffer): Promise<Explanation | undefined>;
}

/**
 * Asks a query as a container would, and says where the answer came from. Throws NO_SUCH_CONTAINER, NOT_SERVED,
 * SERVER_SILENT.
 */
export async function explain(
  inventory: Inventory,
  explainer: Explainer,
  nameOrId: string,
  query: Buffer,
): Promise<Explanation> {
  const named = containerNamed(inventory, nameOrId);
  const container = named && namespaceOwner(inventory, named);
  if (!container)
    throw new PontoonError(
      "NO_SUCH_CONTAINER",
      nameOrId,
      `no container or sandbox is called ${nameOrId}; see \`pontoon status\``,
    );
  const { name } = container;
  const decision = explainer.decisions.get(container.id);
  if (decision?.kind !== "serve") {
    const reason = decision?.reason ?? "not looked at yet";
    const who = container.source === "docker" ? "answered by Docker's resolver, not by pontoon" : "not answered";
    throw notServed(name, `${name} is ${who}: ${reason}`);
  }
  const explanation = await explainer.explain(decision.sandbox.id, query);
  if (!explanation) throw notServed(name, `pontoon-dns does not serve ${name} yet; see \`pontoon status\``);
  return explanation;
}

function notServed(name: string, message: string): PontoonError {
  return new PontoonError("NOT_SERVED", name, message);
}
