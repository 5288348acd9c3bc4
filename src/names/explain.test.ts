import t from "tap";
import type { Explanation, SandboxRecord } from "../../dns/protocol.js";
import { Inventory } from "../inventory/inventory.js";
import { container } from "../inventory/testing/containers.js";
import { explain } from "./explain.js";
import type { Decision } from "./records.js";

const query = Buffer.from("a query");
const sandbox = { id: "sandbox" } as SandboxRecord;
const explanation: Explanation = { reply: "", source: { kind: "docker" }, took: 1, steps: [] };

const ask = (name: string, decision: Decision | undefined, answer: Explanation | undefined = explanation) => {
  const inventory = new Inventory();
  inventory.source("docker").putContainer(container("web", {}));
  inventory.source("docker").putContainer(container("side", { networkMode: { kind: "container", of: "web" } }));
  const decisions = new Map(decision ? [["web", decision]] : []);
  const asked: string[] = [];
  return explain(
    inventory,
    { decisions, explain: (id) => (asked.push(id), Promise.resolve(answer)) },
    name,
    query,
  ).then((result) => [asked, result]);
};

t.test("a container is asked for as the one whose network it uses", async (t) => {
  for (const name of ["web", "side"])
    t.same(await ask(name, { kind: "serve", sandbox, place: { kind: "process", pid: 1 }, hasDockerResolver: true }), [
      ["sandbox"],
      explanation,
    ]);
});

t.test("who cannot be asked for is told why", async (t) => {
  await t.rejects(ask("nobody", undefined), { code: "NO_SUCH_CONTAINER" });
  await t.rejects(ask("web", undefined), { code: "NOT_SERVED", message: /not looked at yet/ });
  await t.rejects(ask("web", { kind: "leave", reason: "label pontoon.dns=off" }), { message: /pontoon.dns=off/ });
});

t.test("a sandbox that the server does not know is not served yet", async (t) => {
  const inventory = new Inventory();
  inventory.source("docker").putContainer(container("web", {}));
  const decisions = new Map<string, Decision>([
    ["web", { kind: "serve", sandbox, place: { kind: "process", pid: 1 }, hasDockerResolver: true }],
  ]);
  await t.rejects(explain(inventory, { decisions, explain: () => Promise.resolve(undefined) }, "web", query), {
    code: "NOT_SERVED",
    message: /does not serve web yet/,
  });
});
