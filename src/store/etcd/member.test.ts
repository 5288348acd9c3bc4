import { once } from "node:events";
import { readdirSync, readlinkSync } from "node:fs";
import { createServer, type AddressInfo, type Socket } from "node:net";
import t, { type Test } from "tap";
import { until } from "../../../integration/lab/until.js";
import { Member } from "./member.js";

/** What a peer says to the head of a request, and how it leaves. */
const endings: Readonly<Record<string, (peer: Socket) => void>> = {
  "the answer is whole": (peer) => peer.write(`${chunked}0\r\n\r\n`),
  "the answer is whole, and the peer goes": (peer) => peer.end(`${chunked}0\r\n\r\n`),
  "the peer goes in the middle": (peer) => peer.end(chunked),
  "the peer goes without a word": (peer) => peer.end(),
  "the peer resets it": (peer) => peer.write(chunked, () => peer.resetAndDestroy()),
};
const chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{}\n\r\n";

for (const [name, answer] of Object.entries(endings))
  t.test(`no socket is left of a stream: ${name}`, async (t) => {
    const member = new Member({ host: "127.0.0.1", port: await listen(t, answer) }, undefined);
    t.teardown(() => member.close());
    const before = sockets();
    for (let times = 0; times < 3; times++)
      await new Promise((resolve) => {
        member.stream("/", {}, "", { onLine: () => undefined, onEnd: resolve });
      });
    await until(() => sockets() <= before, { what: "the sockets to be closed" });
  });

t.test("no socket is left of a request that nobody waits for any more", async (t) => {
  const member = new Member({ host: "127.0.0.1", port: await listen(t, () => undefined) }, undefined);
  t.teardown(() => member.close());
  const before = sockets();
  const attempt = await member.request("/", {}, "", 50, new AbortController().signal);
  t.match(attempt, { kind: "failed", isSent: true });
  await until(() => sockets() <= before, { what: "the socket to be closed" });
});

/** A server that answers the first bytes of each connection. @returns its port */
async function listen(t: Test, answer: (peer: Socket) => void): Promise<number> {
  const server = createServer((peer) => {
    peer.on("error", () => undefined);
    peer.once("data", () => answer(peer));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  t.teardown(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Sockets that this process has open. */
function sockets(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`).startsWith("socket:");
    } catch {
      return false; // the one that the folder itself was read with
    }
  }).length;
}
