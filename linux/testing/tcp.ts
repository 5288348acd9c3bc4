import {
  acceptSocket,
  bindSocket,
  closeDescriptor,
  connectSocket,
  listenSocket,
  localAddress,
  tcpSocket,
  WOULD_BLOCK,
} from "../socket.js";

/** Both ends of a TCP connection over loopback. The test closes them. */
export function tcpPair(): [client: number, server: number] {
  const listener = tcpSocket();
  bindSocket(listener, { ip: "127.0.0.1", port: 0 });
  listenSocket(listener, 1);
  const client = tcpSocket();
  connectSocket(client, localAddress(listener));
  const server = acceptSocket(listener);
  closeDescriptor(listener);
  if (server === WOULD_BLOCK) throw new Error("a connection over loopback was not there at once");
  return [client, server];
}
