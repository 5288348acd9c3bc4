import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { Engine } from "./engine.js";

const id = "c".repeat(64);

/** An engine whose dockerd the test plays. */
async function engineOf(t: Test, answers: Record<string, { status?: number; body: string }>): Promise<Engine> {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-test-"));
  const path = join(folder, "docker.sock");
  const server = createServer((request, response) => {
    const answer = answers[decodeURIComponent(request.url!)] ?? { status: 404, body: '{"message":"no such thing"}' };
    response.statusCode = answer.status ?? 200;
    response.end(answer.body);
  }).listen(path);
  await once(server, "listening");
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
    rmSync(folder, { recursive: true });
  });
  return new Engine("test", { kind: "unix", path });
}

t.test("things are listed, read, or gone", async (t) => {
  const engine = await engineOf(t, {
    "/containers/json?all=1": { body: JSON.stringify([{ Id: id, Labels: { x: "y" } }]) },
    "/networks": { body: '[{"Name":"front","Id":"n1"}]' },
    [`/containers/${id}/json`]: { body: JSON.stringify({ Id: id, Name: "/web" }) },
    "/networks/n1": { body: '{"Id":"n1","Name":"front","Driver":"bridge"}' },
    "/containers/broken/json": { status: 500, body: "{}" },
    "/containers/odd/json": { body: "nonsense" },
  });
  t.same([await engine.containerIds(), await engine.networkIds()], [[id], ["n1"]]);
  t.match(await engine.container(id), { name: "web", partial: false });
  t.match(await engine.network("n1"), { network: { name: "front" } });
  t.same([await engine.container("gone"), await engine.network("gone")], [undefined, undefined]);
  await t.rejects(engine.container("broken"), /500/);
  await t.rejects(engine.container("odd"));
});

t.test("of a container that says too much about itself only its name and state are known", async (t) => {
  const aliases = JSON.stringify(Array.from({ length: 320_000 }, (_, index) => `name-${index}`.padEnd(100, "x")));
  const engine = await engineOf(t, {
    [`/containers/${id}/json`]: { body: `{"Id":"${id}","Aliases":${aliases}}` },
    [`/containers/json?all=1&filters={"id":["${id}"]}`]: {
      body: `[{"Id":"${id}","Aliases":${aliases},"Names":["/web"],"State":"running"}]`,
    },
    "/containers/gone/json": { body: `{"Aliases":${aliases}}` },
    '/containers/json?all=1&filters={"id":["gone"]}': { body: "[]" },
    "/networks/n1": { body: `{"Id":"n1","Aliases":${aliases}}` },
  });
  let worst = 0;
  let last = performance.now();
  const watch = setInterval(() => {
    worst = Math.max(worst, performance.now() - last);
    last = performance.now();
  }, 1);
  t.match(await engine.container(id), {
    id,
    name: "web",
    running: true,
    partial: true,
    excess: { reason: /more than the 4 MB/, names: true },
  });
  clearInterval(watch);
  t.comment(`the loop was held for ${worst.toFixed(0)} ms at most`);
  t.equal(await engine.container("gone"), undefined);
  await t.rejects(engine.network("n1"), /more than 4 MB/);
});
