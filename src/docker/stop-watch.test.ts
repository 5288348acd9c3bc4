import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer as createHttpServer } from "node:http";
import { connect, createServer, type Server, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import t from "tap";
import { StopWatch } from "./stop-watch.js";

interface Owner {
  teardown(work: () => unknown): unknown;
}

/** Where a dockerd is played. */
function socketPath(t: Owner): string {
  const folder = mkdtempSync(join(tmpdir(), "pontoon-"));
  t.teardown(() => rmSync(folder, { recursive: true }));
  return join(folder, "docker.sock");
}

/** A watch over what listens at a path, and what it does. */
function watchOver(t: Owner, path: string, mayConnect: () => Promise<void> = () => Promise.resolve()) {
  const seen = { connections: 0, stops: 0 };
  let told: () => void;
  const stop = new Promise<void>((resolve) => (told = resolve));
  const connection = () => {
    seen.connections++;
    return connect(path);
  };
  const watch = new StopWatch(connection, mayConnect, () => {
    seen.stops++;
    told();
  });
  t.teardown(() => watch.close());
  return { watch, seen, stop };
}

async function listening<Kind extends Server>(server: Kind, path: string): Promise<Kind> {
  server.listen(path);
  await once(server, "listening");
  return server;
}

/** A server that does with each connection, when it has asked something, as it is told. */
function played(path: string, onRequest: (socket: Socket) => void): Promise<Server> {
  return listening(
    createServer((socket) => socket.on("error", () => undefined).once("data", () => onRequest(socket))),
    path,
  );
}

t.test("a dockerd that closes its socket, and then idle connections, stops", async (t) => {
  const path = socketPath(t);
  const dockerd = await listening(
    createHttpServer({ keepAliveTimeout: 0 }, (request, response) => response.end(`${request.method} ${request.url}`)),
    path,
  );
  const { seen } = watchOver(t, path);
  await once(dockerd, "request");
  t.same(seen, { connections: 1, stops: 0 });
  dockerd.close();
  while (seen.stops === 0) {
    dockerd.closeIdleConnections(); // the answer may still be on its way
    await new Promise(setImmediate);
  }
  t.same(seen, { connections: 2, stops: 1 }, "told when no other connection is taken, once");
});

t.test("one that takes another connection does not", async (t) => {
  const path = socketPath(t);
  const connections: Socket[] = [];
  let more: () => void = () => undefined;
  const dockerd = await played(path, (socket) => {
    connections.push(socket);
    more();
  });
  t.teardown(() => dockerd.close());
  const next = () => new Promise<void>((resolve) => (more = resolve));
  const first = next();
  const { watch, seen } = watchOver(t, path);
  await first;
  const second = next();
  connections[0]!.destroy();
  await second;
  t.same(seen, { connections: 2, stops: 0 });
  watch.close();
  await once(connections[1]!, "close");
  t.same(seen, { connections: 2, stops: 0 }, "nor is its own end taken for that");
});

t.test("a socket that only systemd holds any more is not connected to", async (t) => {
  const path = socketPath(t);
  const server = await played(path, (socket) => socket.destroy());
  t.teardown(() => server.close());
  const { seen, stop } = watchOver(t, path, () => Promise.reject(new Error("held by systemd alone")));
  await stop;
  t.same(seen, { connections: 1, stops: 1 });
});

t.test("nothing is concluded from whoever closes every connection at once, and it is left in peace", async (t) => {
  const path = socketPath(t);
  let closed = 0;
  let enough: () => void;
  const many = new Promise<void>((resolve) => (enough = resolve));
  const proxy = await played(path, (socket) => {
    socket.end("HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
    if (++closed === 3) enough();
  });
  const { seen } = watchOver(t, path);
  await many;
  proxy.close();
  await once(proxy, "close"); // after the last connection
  await new Promise(setImmediate);
  t.same(seen, { connections: 3, stops: 0 });
});

t.test("a dockerd that is gone already has stopped", async (t) => {
  const { seen, stop } = watchOver(t, socketPath(t));
  await stop;
  t.same(seen, { connections: 1, stops: 1 });
});
