import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import type { Explanation } from "../../dns/protocol.js";
import { PontoonError } from "../../common/errors.js";
import type { NetworkSources } from "./network-routes.js";
import { ControlApi, type ControlSources } from "./api.js";
import type { PortRow } from "../ports/contract.js";
import type { Status } from "../status.js";

const row: PortRow = {
  container: "web",
  containerPort: 80,
  transport: "tcp",
  ip: "0.0.0.0",
  hostPort: 8080,
  by: "pontoon",
  source: "command",
  state: "open",
};
const explanation: Explanation = { reply: "", source: { kind: "docker" }, took: 1, steps: [] };

const nothing = () => Promise.reject(new PontoonError("NETWORKS_OFF", "network backend", "not here"));
const noNetworks: NetworkSources = {
  networks: () => [],
  network: () => {
    throw new PontoonError("NETWORK_UNKNOWN", "web", "there is no network web");
  },
  links: () => [],
  createNetwork: nothing,
  removeNetwork: nothing,
  pruneNetworks: nothing,
  connect: nothing,
  disconnect: nothing,
  sandboxes: () => [],
  sandboxEnvironment: () => [],
  sandbox: () => {
    throw new PontoonError("SANDBOX_UNKNOWN", "web", "there is no sandbox web");
  },
  createSandbox: nothing,
  pairSandboxes: nothing,
  removeSandbox: nothing,
};

interface Answer {
  status: number;
  body: { code?: string; message?: string; [key: string]: unknown };
}

/** A folder for a control socket, and a way to call it. */
class Bench {
  readonly folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  readonly path = join(this.folder, "control.sock");
  readonly asked: [container: string, query: string][] = [];
  readonly sources: ControlSources = {
    status: () => Promise.resolve({ version: "1.2.3" } as Status),
    records: () => [{ network: "front", name: "web", container: "web1", ipv4: "10.0.0.2", ipv6: undefined, ttl: 5 }],
    inventory: () => ({ containers: [], networks: [] }),
    flush: (name) => Promise.resolve(name === undefined ? 7 : name.length),
    query: (container, query) => {
      this.asked.push([container, query.toString()]);
      return container === "nosuch"
        ? Promise.reject(new PontoonError("NO_SUCH_CONTAINER", container, "no container nosuch"))
        : Promise.resolve(explanation);
    },
    ports: (container) => Promise.resolve([{ ...row, container: container ?? "any" }]),
    publish: (request) => Promise.resolve([{ ...row, container: `${request.container} ${request.specs.join()}` }]),
    unpublish: (request) => Promise.resolve([{ ...row, container: `${request.container} ${request.specs.join()}` }]),
    networks: noNetworks,
    engines: {
      cni: (values, input) => Promise.resolve({ ok: true, text: JSON.stringify({ values, input }) }),
      netavark: () => Promise.resolve({ ok: false, text: '{"error":"why"}' }),
    },
    cluster: { hosts: () => [], forget: () => Promise.resolve({ host: "east", endpoints: 0 }) },
  };

  constructor(private readonly t: { teardown(work: () => unknown): void }) {
    t.teardown(() => rmSync(this.folder, { recursive: true }));
  }

  async start(): Promise<ControlApi> {
    const api = new ControlApi(this.path, this.sources);
    this.t.teardown(() => api.stop());
    await api.start();
    return api;
  }

  call(method: string, path: string, body?: string): Promise<Answer> {
    return new Promise((resolve, reject) => {
      const headers = body === undefined ? {} : { "content-type": "application/json" };
      const call = request({ socketPath: this.path, method, path, headers }, (response) => {
        let text = "";
        response.on("data", (chunk: Buffer) => (text += chunk.toString()));
        response.on("end", () =>
          resolve({ status: response.statusCode ?? 0, body: JSON.parse(text) as Answer["body"] }),
        );
      });
      call.on("error", reject);
      call.end(body);
    });
  }
}

t.test("ports are listed, published and unpublished", async (t) => {
  const bench = new Bench(t);
  await bench.start();
  t.match(await bench.call("GET", "/v1/ports"), { status: 200, body: { length: 1, 0: { container: "any" } } });
  t.match(await bench.call("GET", "/v1/ports?container=web"), {
    status: 200,
    body: { length: 1, 0: { container: "web" } },
  });
  const body = (request: object) => JSON.stringify(request);
  t.match(
    await bench.call(
      "POST",
      "/v1/ports/publish",
      body({ container: "web", specs: ["80"], options: { allowFrom: ["10.0.0.0/8"] } }),
    ),
    { status: 200, body: { length: 1, 0: { container: "web 80" } } },
  );
  t.match(await bench.call("POST", "/v1/ports/unpublish", body({ container: "web", specs: [] })), {
    status: 200,
    body: { length: 1, 0: { container: "web " } },
  });
  for (const wrong of [
    { container: "web", specs: [] },
    { container: "", specs: ["80"] },
    { container: "web", specs: ["80"], ip: "host" },
    { container: "web", specs: ["80"], options: { no: 1 } },
  ])
    t.equal((await bench.call("POST", "/v1/ports/publish", body(wrong))).status, 400, body(wrong));
});

t.test("what is asked for is answered", async (t) => {
  const bench = new Bench(t);
  await bench.start();
  t.match(await bench.call("GET", "/v1/status"), { status: 200, body: { version: "1.2.3" } });
  t.match(await bench.call("GET", "/v1/dns/records"), { status: 200, body: { length: 1, 0: { name: "web" } } });
  const body = JSON.stringify({ container: "web1", query: Buffer.from("bytes").toString("base64") });
  t.match(await bench.call("POST", "/v1/dns/query", body), { status: 200, body: { source: { kind: "docker" } } });
  t.same(bench.asked, [["web1", "bytes"]]);
});

t.test("a refusal has a code and a reason", async (t) => {
  const bench = new Bench(t);
  await bench.start();
  const body = JSON.stringify({ container: "nosuch", query: "" });
  t.match(await bench.call("POST", "/v1/dns/query", body), {
    status: 400,
    body: { code: "NO_SUCH_CONTAINER", message: "no container nosuch" },
  });
});

t.test("what makes no sense is the caller's fault and reaches nobody", async (t) => {
  const bench = new Bench(t);
  await bench.start();
  const bodies = [
    "{}",
    "[]",
    '{"container":"","query":""}',
    '{"container":"web1","query":"not base64!"}',
    '{"container":"web1","query":"","more":1}',
    "{",
    "",
  ];
  for (const body of bodies) {
    const { status } = await bench.call("POST", "/v1/dns/query", body);
    t.ok(status >= 400 && status < 500, `${JSON.stringify(body)}: ${status}`);
  }
  t.same(bench.asked, []);
  t.equal((await bench.call("GET", "/v1/nosuch")).status, 404);
});

t.test("a failure inside is told as one", async (t) => {
  const bench = new Bench(t);
  bench.sources.status = () => Promise.reject(new Error("out of order"));
  await bench.start();
  t.match(await bench.call("GET", "/v1/status"), { status: 500, body: { code: "INTERNAL", message: "out of order" } });
});

t.test("only the owner may open the socket", async (t) => {
  const bench = new Bench(t);
  const mask = process.umask();
  await bench.start();
  t.equal(statSync(bench.path).mode & 0o777, 0o600);
  t.equal(process.umask(), mask, "the mask of other files is as before");
});

t.test("a second daemon is refused, and leaves the first alone", async (t) => {
  const bench = new Bench(t);
  await bench.start();
  await t.rejects(new ControlApi(bench.path, bench.sources).start(), { code: "ALREADY_RUNNING", subject: bench.path });
  t.equal((await bench.call("GET", "/v1/status")).status, 200);
});

t.test("what a dead daemon left behind is replaced", async (t) => {
  const bench = new Bench(t);
  writeFileSync(bench.path, "");
  await bench.start();
  t.equal((await bench.call("GET", "/v1/status")).status, 200);
});

t.test("a stopped daemon answers no more", async (t) => {
  const bench = new Bench(t);
  const api = await bench.start();
  await api.stop();
  await t.rejects(bench.call("GET", "/v1/status"), { code: /ENOENT|ECONNREFUSED/ });
});

t.test("what is to be forgotten is named, or is everything", async (t) => {
  const bench = new Bench(t);
  await bench.start();
  t.match(await bench.call("POST", "/v1/dns/flush", "{}"), { status: 200, body: { forgotten: 7 } });
  t.match(await bench.call("POST", "/v1/dns/flush", '{"name":"web"}'), { status: 200, body: { forgotten: 3 } });
  for (const wrong of ['{"name":""}', '{"name":7}', '{"all":true}', "[]"])
    t.equal((await bench.call("POST", "/v1/dns/flush", wrong)).status, 400, wrong);
});

t.test("engines' calls are passed on as they are, and answered as the engine wants it", async (t) => {
  const bench = new Bench(t);
  await bench.start();
  const call = (path: string, body: string) =>
    new Promise<string>((resolve, reject) => {
      const headers = { "content-type": "text/plain" };
      request({ socketPath: bench.path, method: "POST", path, headers }, (response) => {
        let text = `${response.statusCode} `;
        response.on("data", (chunk: Buffer) => (text += chunk.toString()));
        response.on("end", () => resolve(text));
      })
        .on("error", reject)
        .end(body);
    });
  t.equal(
    await call("/v1/cni?command=ADD&args=a%3Db", "{"),
    '200 {"values":{"command":"ADD","args":"a=b"},"input":"{"}',
  );
  t.equal(await call("/v1/netavark?command=setup", ""), '400 {"error":"why"}');
  t.match(await call("/v1/cni", " ".repeat((1 << 20) + 1)), /^413 /);
});
