import { createSocket } from "node:dgram";
import t from "tap";
import type { SocketAddress } from "../../common/address.js";
import {
  bindSocket,
  closeDescriptor,
  connectSocket,
  listenSocket,
  localAddress,
  tcpSocket,
} from "../../linux/socket.js";
import type { Protocol, PublicationOptions } from "../publication/publication.js";
import { listener, TestClient, TestProxy, until } from "../testing/proxy.js";

/** Where nobody listens. */
function closedPort(protocol: Protocol): SocketAddress {
  const closed = listener(protocol, { ip: "127.0.0.1", port: 0 });
  const target = localAddress(closed);
  closeDescriptor(closed);
  return target;
}

/** A service whose queue is full, so that the kernel drops further SYNs. */
function silentService(teardown: (work: () => void) => void): SocketAddress {
  const full = tcpSocket();
  bindSocket(full, { ip: "127.0.0.1", port: 0 });
  listenSocket(full, 0);
  const target = localAddress(full);
  const fillers = [tcpSocket(), tcpSocket(), tcpSocket()];
  for (const fd of fillers) connectSocket(fd, target);
  teardown(() => [full, ...fillers].forEach(closeDescriptor));
  return target;
}

/** Nobody may send there. */
const unreachable = { ip: "255.255.255.255", port: 80 };

t.test("why connections to a container fail is counted, and told, but not each time", async (t) => {
  const told: string[] = [];
  const proxy = new TestProxy(t, { onFailedDials: (id, reason) => told.push(`${id} ${reason}`) });
  const cases: [id: string, protocol: Protocol, target: SocketAddress, options: PublicationOptions, reason: RegExp][] =
    [
      ["refused", "tcp", closedPort("tcp"), {}, /^ECONNREFUSED$/],
      ["silent", "tcp", silentService((work) => t.teardown(work)), { connectTimeoutMs: 100 }, /^ETIMEDOUT$/],
      ["cut off", "tcp", unreachable, {}, /^E(NETUNREACH|HOSTUNREACH|ACCES|INVAL)$/],
      ["refused datagrams", "udp", closedPort("udp"), {}, /^ECONNREFUSED$/],
      ["forbidden datagrams", "udp", unreachable, {}, /^E(NETUNREACH|HOSTUNREACH|ACCES)$/],
    ];
  for (const [id, protocol, target, options, reason] of cases) {
    const listen = proxy.open(target, options, { id, protocol });
    const sender = createSocket("udp4");
    t.teardown(() => sender.close());
    for (let tries = 1; tries <= 2; tries++) {
      if (protocol === "tcp") TestClient.to(t, listen);
      else sender.send("x", listen.port, listen.ip);
      await until(`it is counted ${tries} times`, () => proxy.report(id).failedDials >= tries);
    }
    t.match(proxy.report(id), { failedDials: 2, dialFailure: reason }, id);
    t.match(
      told.filter((line) => line.startsWith(`${id} E`)).map((line) => line.slice(id.length + 1)),
      { length: 1, 0: reason },
      `${id}: told once`,
    );
  }
});
