import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t, { type Test } from "tap";
import { z } from "zod";
import { PluginClient } from "./client.js";

type Answer = (body: string, response: ServerResponse, asked: IncomingMessage) => void;

const given = z.object({ Given: z.string().optional() });
const reply =
  (text: string, status = 200): Answer =>
  (_, response) =>
    void response.writeHead(status).end(text);

async function pluginIn(t: Test, answers: Record<string, Answer>) {
  const folder = mkdtempSync(join(tmpdir(), "client-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const path = join(folder, "net.sock");
  const heard: string[] = [];
  const start = async (): Promise<Server> => {
    const server = createServer((asked, response) => {
      let body = "";
      asked.on("data", (part: Buffer) => (body += part.toString()));
      asked.on("end", () => {
        heard.push(
          `${asked.method} ${asked.url} ${asked.headers.accept} ${asked.headers["content-type"] ?? "-"} ${body}`,
        );
        answers[asked.url!.slice(1)]!(body, response, asked);
      });
    }).listen(path);
    await once(server, "listening");
    return server;
  };
  const patience = { answer: 300, again: [20, 20, 20] };
  const client = new PluginClient("net", { sockets: folder, specs: [] }, patience);
  const server = await start();
  const stop = (which: Server) => {
    which.closeAllConnections();
    which.close();
  };
  t.teardown(() => stop(server));
  return { client, heard, start, stop, server };
}

t.test("a method is asked as Docker asks it", async (t) => {
  const { client, heard } = await pluginIn(t, {
    "Plugin.Activate": reply('{"Implements":["NetworkDriver"]}'),
    "NetworkDriver.Join": reply('{"Given":"x","More":1}'),
    "NetworkDriver.Leave": reply(""),
    "NetworkDriver.Null": reply('{"Err":""}'),
  });
  t.ok(client.isFound);
  await client.require("NetworkDriver");
  await client.require("NetworkDriver");
  t.same(await client.call("NetworkDriver.Join", { A: 1 }, given), { Given: "x" });
  t.same(await client.call("NetworkDriver.Leave", {}, given), {}, "nothing says nothing");
  t.same(await client.call("NetworkDriver.Null", {}, given), {});
  const accept = "application/vnd.docker.plugins.v1.2+json";
  t.same(heard.slice(0, 2), [`POST /Plugin.Activate ${accept} - `, `POST /NetworkDriver.Join ${accept} - {"A":1}\n`]);
  t.equal(heard.length, 4, "activated once");
  await t.rejects(client.require("IpamDriver"), {
    code: "PLUGIN_UNFIT",
    message: /is no IpamDriver: it says that it is NetworkDriver/,
  });
});

t.test("what a plugin answers is bounded and looked at", async (t) => {
  const answers: Record<string, Answer> = {};
  const { client } = await pluginIn(t, answers);
  for (const [answer, code, message] of [
    [
      reply("<html>"),
      "PLUGIN_ANSWER_INVALID",
      /the plugin net answered A\.B with what makes no sense: it is not JSON$/,
    ],
    [reply("[]"), "PLUGIN_ANSWER_INVALID", /the answer: /],
    [reply('{"Given":7}'), "PLUGIN_ANSWER_INVALID", /Given: /],
    [reply("null"), "PLUGIN_ANSWER_INVALID", /the answer: /],
    [reply('{"Err":"no\\nroom \\u001b[31m"}'), "PLUGIN_REFUSED", /^the plugin net refused A\.B: no\\nroom \\x1b\[31m$/],
    [reply('{"Error":"exhausted"}'), "PLUGIN_REFUSED", /refused A\.B: exhausted$/],
    [reply('{"Err":""}', 500), "PLUGIN_REFUSED", /it does not say why \(HTTP 500\)$/],
    [reply("a fault", 500), "PLUGIN_REFUSED", /a fault \(HTTP 500\)$/],
    [reply("x".repeat(5000), 500), "PLUGIN_REFUSED", /x{500}$/],
    [reply("404 page not found", 404), "PLUGIN_REFUSED", /it has no such method$/],
    [reply(`{"Given":"${"x".repeat(1 << 20)}"}`), "PLUGIN_ANSWER_INVALID", /more than 1048576 bytes/],
    [() => undefined, "PLUGIN_SLOW", /did not answer A\.B within 0\.3 s/],
    [(_, response) => void response.write('{"Given":'), "PLUGIN_SLOW", /did not answer/],
    [
      (_, response) => void response.destroy(),
      "PLUGIN_UNREACHABLE",
      /cut the connection off when it was asked for A\.B/,
    ],
    [
      (_, response) => {
        response.writeHead(200, { "content-length": 100 });
        response.write("{");
        setTimeout(() => response.destroy(), 10);
      },
      "PLUGIN_UNREACHABLE",
      /cut the connection off/,
    ],
    [(_, { socket }) => void socket!.end("SSH-2.0-OpenSSH\r\n"), "PLUGIN_UNREACHABLE", /cut the connection off/],
  ] as const satisfies [Answer, string, RegExp][]) {
    answers["A.B"] = answer;
    await t.rejects(client.call("A.B", {}, given), { code, subject: "net", message });
  }
});

t.test("a call is said again only where nobody has heard it", async (t) => {
  const { client, heard, start, stop, server } = await pluginIn(t, {
    "A.B": reply("{}"),
    "A.Cut": (_, response) => void response.destroy(),
  });
  await t.rejects(client.call("A.Cut", {}, given), { code: "PLUGIN_UNREACHABLE" });
  t.equal(heard.length, 1, "what was heard is not said again");
  stop(server);
  await t.rejects(client.call("A.B", {}, given), {
    code: "PLUGIN_UNREACHABLE",
    message: /cannot be reached/,
    cause: { message: /it is not to be found in / },
  });
  await t.rejects(client.call("A.B", {}, given, { again: [] }), { code: "PLUGIN_UNREACHABLE" });
  const asked = client.call("A.B", {}, given, { again: Array<number>(200).fill(20) });
  const next = await start();
  t.teardown(() => stop(next));
  t.same(await asked, {}, "a plugin that is started anew is waited for");
  t.equal(heard.length, 2);
});
