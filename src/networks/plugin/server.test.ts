import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, lstatSync, mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { z } from "zod";
import { PontoonError } from "../../../common/errors.js";
import { PluginServer, type PluginMethod, type PluginSocket } from "./server.js";

const faults: string[] = [];
const methods = new Map<string, PluginMethod>([
  ["Say.Hello", { call: z.object({ Name: z.string() }), problem: "Err", run: (call) => Promise.resolve({ call }) }],
  ["Say.No", { call: undefined, problem: "Error", run: () => Promise.reject(new PontoonError("NO", "it", "not now")) }],
  ["Say.Fault", { call: undefined, problem: "Err", run: () => Promise.reject(new TypeError("a fault")) }],
  ["Say.Nothing", { call: undefined, problem: "Err", run: () => new Promise(() => undefined) }],
]);

async function serverIn(t: Test): Promise<[server: PluginServer, path: string, socket: PluginSocket]> {
  const folder = mkdtempSync(join(tmpdir(), "plugin-")); // short: a socket's path has 107 bytes
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socket = { path: join(folder, "plugin.sock"), link: join(folder, "plugins", "pontoon.sock") };
  const server = new PluginServer(socket, methods, (method) => faults.push(method), 100);
  await server.start();
  t.teardown(() => server.stop());
  return [server, socket.link, socket];
}

/** As dockerd asks: without a type of content, and before Docker 25 without a host. */
async function ask(socketPath: string, method: string, body = ""): Promise<unknown> {
  const asked = request({ socketPath, path: `/${method}`, method: "POST", setHost: false });
  asked.end(body);
  const [answer] = (await once(asked, "response")) as [AsyncIterable<Buffer>];
  let text = "";
  for await (const part of answer) text += part.toString();
  return JSON.parse(text);
}

t.test("every call is answered", async (t) => {
  const [, path] = await serverIn(t);
  t.same(await ask(path, "Say.Hello", '{"Name":"web"}'), { call: { Name: "web" } });
  t.match(await ask(path, "Say.Hello"), { Err: /without saying of what.*try it again/ });
  t.match(await ask(path, "Say.Hello", "{"), { Err: /not JSON/ });
  t.match(await ask(path, "Say.Hello", '{"Name":1}'), { Err: /Say\.Hello: Name: / });
  t.same(await ask(path, "Say.No"), { Error: "not now" }, "in the field that is read");
  t.match(await ask(path, "Say.Fault"), { Err: "a fault" });
  t.same(faults, ["Say.Fault"], "what nobody foresaw is told");
  t.match(await ask(path, "Say.Nothing"), { Err: /was not done within 0\.1 s/ });
  t.match(await ask(path, "Say.Else"), { Err: /no method/, Error: /no method/ });
});

t.test("it ends, whatever connections there are", async (t) => {
  const [server, path, socket] = await serverIn(t);
  const unused = connect(path);
  await once(unused, "connect");
  const closed = once(unused, "close");
  await server.stop();
  await closed;
  await server.stop();
  for (const each of [path, socket.path]) t.equal(lstatSync(each, { throwIfNoEntry: false }), undefined);
});

t.test("dockerd sees a link, which it does not take for a plugin of any kind", async (t) => {
  const [, link, { path }] = await serverIn(t);
  t.ok(lstatSync(link).isSymbolicLink());
  t.equal(readlinkSync(link), "../plugin.sock", "it leads there wherever it is looked at from");
  t.equal(lstatSync(path).mode & 0o777, 0o600);
});

t.test("another daemon's socket is left alone, and a dead one's is replaced", async (t) => {
  const [server, link, socket] = await serverIn(t);
  const second = new PluginServer(socket, methods, () => undefined);
  await t.rejects(second.start(), { code: "PLUGIN_TAKEN" });
  await server.stop();
  // A daemon that was killed leaves its socket behind; this one has listened where the link is.
  const listen = `require("net").createServer().listen(${JSON.stringify(link)}, () => console.log("up"))`;
  const killed = spawn(process.execPath, ["-e", listen]);
  await once(killed.stdout, "data");
  await t.rejects(second.start(), { code: "PLUGIN_TAKEN" });
  killed.kill("SIGKILL");
  await once(killed, "exit");
  t.ok(existsSync(link));
  await second.start();
  t.match(await ask(link, "Say.Hello", '{"Name":"again"}'), { call: { Name: "again" } });
  await second.stop();
});
