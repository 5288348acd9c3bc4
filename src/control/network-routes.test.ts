import { mkdtempSync, rmSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { json } from "node:stream/consumers";
import t, { type Test } from "tap";
import { PontoonError } from "../../common/errors.js";
import type { NetworkAnswer, SandboxAnswer } from "../networks/contract.js";
import { ControlApi, type ControlSources } from "./api.js";
import type { NetworkSources } from "./network-routes.js";

const network = { Name: "web" } as NetworkAnswer;
const sandbox = { name: "a" } as SandboxAnswer;

/** The API beside networks that tell what they were asked. */
async function apiOf(t: Test) {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const asked: unknown[] = [];
  const note =
    <Answer>(what: keyof NetworkSources, answer: Answer) =>
    (given?: unknown) => {
      asked.push(given === undefined ? [what] : [what, given]);
      if (given === "nosuch") throw new PontoonError("NETWORK_UNKNOWN", "nosuch", "there is no network nosuch");
      return answer;
    };
  const networks: NetworkSources = {
    networks: note("networks", [network]),
    network: note("network", network),
    links: note("links", []),
    createNetwork: note("createNetwork", Promise.resolve(network)),
    removeNetwork: note("removeNetwork", Promise.resolve(network)),
    pruneNetworks: note("pruneNetworks", Promise.resolve([network])),
    connect: note("connect", Promise.resolve(sandbox)),
    disconnect: note("disconnect", Promise.resolve(sandbox)),
    sandboxes: note("sandboxes", [sandbox]),
    sandbox: note("sandbox", sandbox),
    sandboxEnvironment: note("sandboxEnvironment", ["DB_NAME=/a/db"]),
    createSandbox: note("createSandbox", Promise.resolve(sandbox)),
    pairSandboxes: note("pairSandboxes", Promise.resolve(network)),
    removeSandbox: note("removeSandbox", Promise.resolve(sandbox)),
  };
  const socketPath = join(folder, "control.sock");
  const api = new ControlApi(socketPath, { networks } as ControlSources);
  t.teardown(() => api.stop());
  await api.start();
  const call = async (method: string, path: string, body?: unknown): Promise<{ status: number; body: unknown }> =>
    new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { "content-type": "application/json" };
      const call = request({ socketPath, method, path, headers }, (response) => {
        json(response).then((body) => resolve({ status: response.statusCode ?? 0, body }), reject);
      });
      call.on("error", reject);
      call.end(body === undefined ? undefined : JSON.stringify(body));
    });
  return { asked, call };
}

t.test("each route asks for what it is named after, with defaults for what was left out", async (t) => {
  const { asked, call } = await apiOf(t);
  const place = { ips: [], aliases: [], links: [] };
  const cases: [method: string, path: string, body: unknown, asked: unknown[], answer: unknown][] = [
    ["GET", "/v1/networks", undefined, ["networks"], [network]],
    ["GET", "/v1/networks?name=web", undefined, ["network", "web"], [network]],
    ["GET", "/v1/networks/links", undefined, ["links"], []],
    ["GET", "/v1/networks/links?name=web", undefined, ["links", "web"], []],
    ["POST", "/v1/networks/remove", { name: "web" }, ["removeNetwork", "web"], network],
    ["POST", "/v1/networks/prune", {}, ["pruneNetworks"], [network]],
    [
      "POST",
      "/v1/networks/connect",
      { network: "web", sandbox: "a" },
      ["connect", { network: "web", sandbox: "a", ...place, gatewayPriority: 0 }],
      sandbox,
    ],
    [
      "POST",
      "/v1/networks/disconnect",
      { network: "web", sandbox: "a" },
      ["disconnect", { network: "web", sandbox: "a" }],
      sandbox,
    ],
    ["GET", "/v1/sandboxes", undefined, ["sandboxes"], [sandbox]],
    ["GET", "/v1/sandboxes?name=a", undefined, ["sandbox", "a"], [sandbox]],
    ["GET", "/v1/sandboxes/env?name=a", undefined, ["sandboxEnvironment", "a"], ["DB_NAME=/a/db"]],
    [
      "POST",
      "/v1/sandboxes/pair",
      { sandboxes: ["a", "b"], subnets: ["10.1.1.0/30"] },
      ["pairSandboxes", { sandboxes: ["a", "b"], subnets: ["10.1.1.0/30"] }],
      network,
    ],
    ["POST", "/v1/sandboxes/remove", { name: "a" }, ["removeSandbox", "a"], sandbox],
    [
      "POST",
      "/v1/sandboxes",
      { name: "a" },
      [
        "createSandbox",
        {
          ...{ name: "a", networks: [], ...place, exposed: [], dns: [], dnsSearch: [], dnsOptions: [], extraHosts: [] },
          labels: {},
        },
      ],
      sandbox,
    ],
    [
      "POST",
      "/v1/networks",
      { name: "web" },
      [
        "createNetwork",
        {
          ...{ name: "web", driver: "bridge", subnets: [], gateways: [], ipRanges: [], ipv6: false, internal: false },
          ...{ icc: true, masquerade: true, snatAddresses: [], firewall: true, labels: {} },
        },
      ],
      network,
    ],
  ];
  for (const [method, path, body, question, answer] of cases) {
    t.same(await call(method, path, body), { status: 200, body: answer }, `${method} ${path}`);
    t.same(asked.splice(0), [question], `${method} ${path}`);
  }
});

t.test("what is refused is told with its code", async (t) => {
  const { call } = await apiOf(t);
  for (const [method, path, body] of [
    ["GET", "/v1/networks?name=nosuch"],
    ["POST", "/v1/networks/remove", { name: "nosuch" }],
  ] as const) {
    const answer = await call(method, path, body);
    t.match(answer, { body: { code: "NETWORK_UNKNOWN", message: "there is no network nosuch" } }, path);
    t.ok(answer.status >= 400 && answer.status < 500);
  }
});

t.test("what is no request asks for nothing", async (t) => {
  const { asked, call } = await apiOf(t);
  const cases: [path: string, body: unknown][] = [
    ["/v1/networks", {}],
    ["/v1/networks", { name: "-web" }],
    ["/v1/networks", { name: "a/b" }],
    ["/v1/networks", { name: "x".repeat(64) }],
    ["/v1/networks", { name: "web", more: 1 }],
    ["/v1/networks", { name: "web", mtu: 1.5 }],
    ["/v1/networks", { name: "web", subnets: Array(1001).fill("10.0.0.0/8") }],
    ["/v1/networks", { name: "web", labels: { a: 1 } }],
    ["/v1/networks/remove", {}],
    ["/v1/networks/remove", { name: "" }],
    ["/v1/networks/remove", { name: "x".repeat(65) }],
    ["/v1/networks/connect", { network: "web" }],
    ["/v1/networks/connect", { network: "web", sandbox: "a", gatewayPriority: 2 ** 31 }],
    ["/v1/networks/connect", { network: "web", sandbox: "a", aliases: ["a b"] }],
    ["/v1/networks/disconnect", { sandbox: "a" }],
    ["/v1/sandboxes", { name: ".." }],
    ["/v1/sandboxes", { name: "a", networks: Array(101).fill("web") }],
    ["/v1/sandboxes", { name: "a", hostname: "-a" }],
    ["/v1/sandboxes/remove", null],
  ];
  for (const [path, body] of cases) {
    const { status, body: answer } = await call("POST", path, body);
    const what = `${path} ${JSON.stringify(body).slice(0, 60)}`;
    t.equal(status, 400, what);
    t.match(answer, { code: /^[A-Z_]+$/, message: /^[^\n]+$/ }, what);
  }
  for (const path of ["/v1/networks?name=", "/v1/networks?more=1", "/v1/sandboxes?name=" + "x".repeat(65)])
    t.equal((await call("GET", path)).status, 400, path.slice(0, 40));
  t.same(asked, []);
});
