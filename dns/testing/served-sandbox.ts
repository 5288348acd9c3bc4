import { openSync } from "node:fs";
import { openPidfd } from "../../linux/pidfd.js";
import { bindSocket, localAddress, tcpSocket, udpSocket } from "../../linux/socket.js";
import type { DnsServer } from "../server.js";

/**
 * Has the server hold sockets for a sandbox: one of Docker's, which ends with this process, or one of pontoon's own whose
 * namespace is called `path`. @returns their port
 */
export function giveSandbox(server: DnsServer, id: string, path?: string): number {
  const isDockers = path === undefined;
  server.putSandbox({
    id,
    source: isDockers ? "docker" : "pontoon",
    container: id,
    containerName: "web",
    networks: [],
    forwarding: { kind: "never" },
    singleLabels: "deny",
    sharesAnswers: false,
    search: [],
  });
  const [udp, tcp] = [udpSocket(), tcpSocket()];
  bindSocket(udp, { ip: "127.0.0.1", port: 0 });
  const { port } = localAddress(udp);
  server.giveSockets(id, {
    end: isDockers ? openPidfd(process.pid) : openSync(path, "r"),
    path,
    udp,
    tcp,
    dockerResolver: isDockers ? udpSocket() : undefined,
    port,
  });
  return port;
}
