import { spawn } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import t, { type Test } from "tap";
import { namespaceInode, ownNamespacePath } from "../../linux/netns.js";
import { receivePacket, type Packet } from "../../linux/packet-connection.js";
import {
  acceptSocket,
  bindUnix,
  closeDescriptor,
  listenSocket,
  packetSocket,
  WOULD_BLOCK,
} from "../../linux/socket.js";
import { TestLoop } from "../../linux/testing/loop.js";
import { readShimMessage, shimMessage, type ShimRequest } from "./shim-protocol.js";

const root = fileURLToPath(new URL("../../../", import.meta.url));

const request: ShimRequest = {
  protocol: "tcp",
  host: { ip: "127.0.0.1", port: 8080 },
  container: { ip: "172.17.0.2", port: 80 },
  namespace: namespaceInode(ownNamespacePath),
  inherited: false,
};

t.test("what is written is read", (t) => {
  for (const kind of ["ask", "who", "serve"] as const) {
    const requests: ShimRequest[] = [
      request,
      { ...request, protocol: "udp", inherited: true, host: { ip: "::", port: 0 } },
    ];
    for (const each of requests) t.same(readShimMessage(Buffer.from(shimMessage(kind, each))), { kind, request: each });
  }
  t.match(readShimMessage(Buffer.from(shimMessage("ask", request).replace(/^\d+/, "0"))), {
    kind: "nonsense",
    reason: /another one/,
  });
  t.end();
});

/** The first thing a shim says to pontoon-proxy. */
async function firstMessage(t: Test, command: readonly [string, ...string[]]): Promise<string> {
  const loop = new TestLoop();
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  const listener = packetSocket();
  bindUnix(listener, join(folder, "proxy.sock"));
  listenSocket(listener, 1);
  const [program, ...words] = command;
  const flags = ["-proto", "tcp", "-host-ip", "127.0.0.1", "-host-port", "8080"];
  const target = ["-container-ip", "172.17.0.2", "-container-port", "80"];
  const shim = spawn(program, [...words, ...flags, ...target], {
    stdio: ["ignore", "ignore", "ignore", "pipe"],
    env: { ...process.env, PONTOON_RUN_DIR: folder, PONTOON_PATIENCE_MS: "60000" },
  });
  t.teardown(() => {
    shim.kill("SIGKILL");
    closeDescriptor(listener);
    loop.poller.close();
    rmSync(folder, { recursive: true });
  });
  let connection = WOULD_BLOCK;
  await loop.until("the shim connects", () => (connection = acceptSocket(listener)) !== WOULD_BLOCK);
  t.teardown(() => closeDescriptor(connection));
  let packet: Packet | "closed" | undefined;
  await loop.until("the shim says something", () => (packet = receivePacket(connection)) !== undefined);
  return packet === "closed" || packet === undefined ? "" : packet.bytes.toString();
}

t.test("both shims speak the protocol of pontoon-proxy", async (t) => {
  const shims = {
    C: [join(root, "bin", "pontoon-docker-proxy")],
    TypeScript: [process.execPath, join(root, "dist", "proxy", "shim", "docker-proxy.js")],
  } as const;
  for (const [language, command] of Object.entries(shims))
    t.equal(await firstMessage(t, command), shimMessage("ask", request), language);
});
