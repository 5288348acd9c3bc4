import { lookup } from "node:dns/promises";
import { errorCode } from "../../../common/errors.js";
import { readRegularFile } from "../../../common/files.js";
import { canonicalAddress } from "../../../common/address.js";
import { encodeQuestion, explainedAnswer, type ExplainedAnswer } from "../../cli/dns.js";
import { explanationAnswer } from "../../control/answers.js";
import type { ControlClient } from "../../control/client.js";
import type { Container } from "../../inventory/types.js";
import { askFrom } from "./asker.js";
import type { Asker, Goal } from "./world.js";

/** Bytes that are read of a container's hosts file or resolv.conf. */
const fileAtMost = 256 << 10;

/** What a name is to the asker, and by whose word. */
export async function resolveFor(asker: Asker, name: string, client: ControlClient): Promise<Goal> {
  if (asker.kind === "host") return fromHost(name);
  if (asker.kind === "outside") return { kind: "unresolved", name, reason: "it is asked outside", isPolicy: false };
  const { container } = asker;
  const inHosts = await hostsEntry(container, name);
  if (inHosts !== undefined) return { kind: "resolved", name, ips: [inHosts], by: "its hosts file" };
  try {
    return await fromPontoon(container, name, client);
  } catch (error) {
    const code = errorCode(error);
    if (!["NO_DAEMON", "NOT_SERVED", "NO_SUCH_CONTAINER", "SERVER_SILENT"].includes(code ?? "")) throw error;
    return fromResolver(asker, name);
  }
}

async function fromHost(name: string): Promise<Goal> {
  try {
    const found = await lookup(name, { all: true });
    return { kind: "resolved", name, ips: ordered(found.map(({ address }) => address)), by: "the host's own resolver" };
  } catch (error) {
    return {
      kind: "unresolved",
      name,
      reason: `the host's resolver says ${errorCode(error) ?? "nothing"}`,
      isPolicy: false,
    };
  }
}

/** As the running server answers that container. */
async function fromPontoon({ name: container }: Container, name: string, client: ControlClient): Promise<Goal> {
  const answers: ExplainedAnswer[] = [];
  for (const type of ["A", "AAAA"]) {
    const explanation = await client.post("/v1/dns/query", { container, query: encodeQuestion(name, type) });
    const answer = explainedAnswer(`${name} ${type}`, explanationAnswer(explanation));
    answers.push(answer);
    const ips = answer.answers.filter((each) => each.type === type).map(({ data }) => data);
    if (ips.length > 0) return { kind: "resolved", name, ips, by: byWords(answer) };
  }
  const [first] = answers;
  const isPolicy = first?.source.kind === "policy";
  const steps = first?.steps.at(-1)?.replace(/^answered by /, "");
  return {
    kind: "unresolved",
    name,
    reason: `pontoon-dns answers ${first?.rcode ?? "nothing"}${steps === undefined ? "" : ` (${steps})`}`,
    isPolicy,
  };
}

function byWords({ source }: ExplainedAnswer): string {
  switch (source.kind) {
    case "local":
      return `pontoon-dns, a name on network ${source.network}`;
    case "upstream":
      return `pontoon-dns, from the server ${source.upstream.ip}${source.cached === true ? ", kept" : ""}`;
    case "docker":
      return "Docker's resolver, asked by pontoon-dns";
    default:
      return "pontoon-dns";
  }
}

/** As whoever its resolv.conf names answers. */
async function fromResolver({ container, place }: Asker & { kind: "container" }, name: string): Promise<Goal> {
  const path = container.source === "pontoon" ? `/etc/netns/${container.name}/resolv.conf` : container.resolvConfPath;
  const text = await textOf(path);
  const servers = text
    .split("\n")
    .map((line) => line.trim().split(" "))
    .flatMap(([key, ip = ""]) => (key === "nameserver" ? (canonicalAddress(ip) ?? []) : []))
    .slice(0, 3);
  if (servers.length === 0)
    return { kind: "unresolved", name, reason: "its resolv.conf names no server", isPolicy: false };
  const reply = await askFrom(place.path, { kind: "resolve", name, servers });
  const who = servers.includes("127.0.0.11") ? "Docker's resolver" : `the server ${servers.join(", ")}`;
  if (reply.kind === "addresses" && reply.ips.length > 0) return { kind: "resolved", name, ips: reply.ips, by: who };
  const reason = reply.kind === "failed" ? reply.errno : "no address";
  return { kind: "unresolved", name, reason: `${who} answers ${reason}`, isPolicy: false };
}

async function hostsEntry(
  { source, name: container, hostsPath }: Container,
  name: string,
): Promise<string | undefined> {
  const text = await textOf(source === "pontoon" ? `/etc/netns/${container}/hosts` : hostsPath);
  for (const line of text.split("\n")) {
    const [ip = "", ...names] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (names.some((each) => each.toLowerCase() === name.toLowerCase())) return canonicalAddress(ip);
  }
  return undefined;
}

async function textOf(path: string): Promise<string> {
  if (path === "") return "";
  try {
    return (await readRegularFile(path, fileAtMost, { followLink: false })).text;
  } catch {
    return ""; // it is not there, or dockerd runs elsewhere
  }
}

/** IPv4 first, as most programs go. */
function ordered(ips: readonly string[]): string[] {
  return [...ips].sort((one, other) => Number(one.includes(":")) - Number(other.includes(":")));
}
