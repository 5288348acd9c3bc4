// Asks the daemon of the host it runs on for many networks, sandboxes, endpoints and ports.
import { setTimeout as pause } from "node:timers/promises";
import { answerRequests } from "../../integration/lab/helper-child.js";
import { linksOfHost, settling, untilLinksAre } from "./host-links.js";
import { controlClient } from "./pontoon.js";

export type ManyRequest =
  | { readonly do: "grow"; readonly endpoints: number }
  | { readonly do: "furnish"; readonly networks: number; readonly sandboxes: number }
  | { readonly do: "publish"; readonly sandbox: string; readonly ports: readonly string[] }
  | { readonly do: "unpublish"; readonly sandbox: string };

/** Milliseconds. */
export interface ManyReply {
  /** Of each connect, and of each disconnect; or of the one request. */
  readonly connects: readonly number[];
  readonly disconnects: readonly number[];
}

const atOnce = 8;
/** So many sandboxes are made, and then connected: what making them leaves behind is not to hold up what is measured. */
const batch = 25;
const client = controlClient();

answerRequests(async (request: ManyRequest): Promise<ManyReply> => {
  const none = { connects: [], disconnects: [] };
  switch (request.do) {
    case "grow":
      return grow(request.endpoints);
    case "furnish":
      await furnish(request.networks, request.sandboxes);
      return none;
    case "publish": {
      const body = { container: request.sandbox, specs: request.ports };
      return { ...none, connects: [await timed(() => client.post("/v1/ports/publish", body))] };
    }
    case "unpublish": {
      const body = { container: request.sandbox, specs: [] };
      return { ...none, disconnects: [await timed(() => client.post("/v1/ports/unpublish", body))] };
    }
  }
});

/** Connects endpoints to one network, each before the next, and disconnects them again. Leaves nothing. */
async function grow(count: number): Promise<ManyReply> {
  const network = "grown";
  const links = linksOfHost();
  await client.post("/v1/networks", { name: network, subnets: ["10.93.0.0/16"] });
  const names = numbered("s", count);
  const [connects, disconnects]: [number[], number[]] = [[], []];
  for (let from = 0; from < count; from += batch) {
    const sandboxes = names.slice(from, from + batch);
    await makeWithoutEndpoint(network, sandboxes);
    for (const sandbox of sandboxes)
      connects.push(await timed(() => client.post("/v1/networks/connect", { network, sandbox })));
  }
  for (const sandbox of names)
    disconnects.push(await timed(() => client.post("/v1/networks/disconnect", { network, sandbox })));
  for (const name of names) await client.post("/v1/sandboxes/remove", { name });
  await client.post("/v1/networks/remove", { name: network });
  await untilLinksAre(links);
  return { connects, disconnects };
}

async function makeWithoutEndpoint(network: string, sandboxes: readonly string[]): Promise<void> {
  const links = linksOfHost();
  for (const name of sandboxes) {
    await client.post("/v1/sandboxes", { name, networks: [network] });
    await client.post("/v1/networks/disconnect", { network, sandbox: name });
  }
  await untilLinksAre(links);
  await pause(settling);
}

/** Networks of 254 addresses each, and sandboxes on them in turn. */
async function furnish(networks: number, sandboxes: number): Promise<void> {
  const names = numbered("n", networks);
  for (const [index, name] of names.entries())
    await client.post("/v1/networks", { name, subnets: [`10.${100 + (index >> 8)}.${index & 255}.0/24`] });
  const waiting = numbered("s", sandboxes).entries();
  const work = async () => {
    for (const [index, name] of waiting)
      await client.post("/v1/sandboxes", { name, networks: [names[index % networks]!] });
  };
  await Promise.all(Array.from({ length: atOnce }, work));
}

function numbered(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}
