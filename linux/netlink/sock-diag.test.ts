import { once } from "node:events";
import { createServer } from "node:net";
import t from "tap";
import { insideNewNamespace } from "../netns.js";
import { bindSocket, closeDescriptor, udpSocket } from "../socket.js";
import { listeningSockets } from "./sock-diag.js";
import { statSync } from "node:fs";
import { skipWithoutNft as skip } from "../testing/nft.js";

t.test("listening sockets are told with their address, and whether they take IPv4", async (t) => {
  const listen = async (host: string, ipv6Only: boolean) => {
    const server = createServer().listen({ host, port: 0, ipv6Only });
    await once(server, "listening");
    t.teardown(() => server.close());
    return (server.address() as { port: number }).port;
  };
  const ports = {
    plain: await listen("127.0.0.1", false),
    both: await listen("::", false),
    only: await listen("::", true),
  };
  const found = listeningSockets("tcp");
  const at = (port: number) =>
    found.filter((socket) => socket.port === port).map(({ ip, isV6Only }) => ({ ip, isV6Only }));
  t.same(at(ports.plain), [{ ip: "127.0.0.1", isV6Only: false }]);
  t.same(at(ports.both), [{ ip: "::", isV6Only: false }]);
  t.same(at(ports.only), [{ ip: "::", isV6Only: true }]);
});

t.test("a UDP socket that is bound waits, and its inode is that of its descriptor", (t) => {
  const fd = udpSocket();
  t.teardown(() => closeDescriptor(fd));
  bindSocket(fd, { ip: "127.0.0.1", port: 0 });
  const inode = statSync(`/proc/self/fd/${fd}`).ino;
  t.match(
    listeningSockets("udp").filter((socket) => socket.inode === inode),
    { length: 1, 0: { ip: "127.0.0.1" } },
  );
  t.end();
});

t.test("only those of the namespace are told", { skip }, (t) => {
  insideNewNamespace(() => t.same(listeningSockets("tcp"), []));
  t.end();
});
