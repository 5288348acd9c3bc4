import { openPidfd } from "../../linux/pidfd.js";
import { bindSocket, localAddress, tcpSocket, udpSocket } from "../../linux/socket.js";
import type { DnsServer } from "../server.js";

/** Has the server hold sockets for a sandbox. @returns their port */
export function giveSandbox(server: DnsServer, id: string): number {
  server.putSandbox({
    id,
    source: "docker",
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
  server.giveSockets(id, { end: openPidfd(process.pid), path: undefined, udp, tcp, dockerResolver: udpSocket(), port });
  return port;
}
