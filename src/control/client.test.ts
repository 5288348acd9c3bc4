import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type RequestListener } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { ControlClient } from "./client.js";

/** A client of a server that does what the test says. */
async function client(
  t: { teardown(work: () => unknown): void },
  listener?: RequestListener,
): Promise<{ client: ControlClient; path: string }> {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "control.sock");
  if (listener) {
    const server = createServer(listener).listen(path);
    await once(server, "listening");
    t.teardown(() => server.close());
  }
  return { client: new ControlClient(path), path };
}

t.test("an answer is given back as data", async (t) => {
  const seen: string[] = [];
  const { client: control } = await client(t, (request, response) => {
    let body = "";
    request.on("data", (chunk: Buffer) => (body += chunk.toString()));
    request.on("end", () => {
      seen.push(`${request.method} ${request.url} ${body}`);
      response.end('{"ok":"ü"}');
    });
  });
  t.same(await control.get("/v1/status"), { ok: "ü" });
  t.same(await control.post("/v1/dns/query", { container: "wéb" }), { ok: "ü" });
  t.same(seen, ["GET /v1/status ", 'POST /v1/dns/query {"container":"wéb"}']);
});

t.test("a refusal of the daemon keeps its code and its words", async (t) => {
  const { client: control } = await client(t, (_, response) =>
    response.writeHead(400).end('{"code":"NO_SUCH_CONTAINER","message":"no container x"}'),
  );
  await t.rejects(control.get("/x"), { code: "NO_SUCH_CONTAINER", message: "no container x" });
});

t.test("an answer that makes no sense is told as such", async (t) => {
  for (const body of ["", "<html>", "null"]) {
    const { client: control } = await client(t, (_, response) => response.writeHead(500).end(body));
    await t.rejects(control.get("/x"), { code: "INTERNAL", message: /500/ }, JSON.stringify(body));
  }
});

t.test("without a daemon one is told how to get one", async (t) => {
  const { client: control, path } = await client(t);
  await t.rejects(control.get("/x"), {
    code: "NO_DAEMON",
    subject: path,
    message: /no pontoon daemon answers on .*--run-dir/,
  });
  const { client: dying } = await client(t, (request) => request.socket.destroy());
  await t.rejects(dying.get("/x"), { code: "NO_DAEMON", message: /does not answer/ });
});

t.test("an answer that breaks off does not count", async (t) => {
  const { client: control } = await client(t, (_, response) => {
    response.writeHead(200, { "content-length": 100 }).write("[", () => response.socket?.destroy());
  });
  await t.rejects(control.get("/x"), { code: "NO_DAEMON", message: /does not answer/ });
});
