import { readFileSync } from "node:fs";
import t from "tap";
import { bindSocket, closeDescriptor, listenSocket, localAddress, tcpSocket } from "../../linux/socket.js";
import { defaults } from "../publication/publication.js";
import { TestClient, TestProxy, until } from "../testing/proxy.js";

t.test(
  "a container is waited for as long as the kernel tries to connect, and a UDP flow as long as the kernel remembers one",
  (t) => {
    const retries = Number(readFileSync("/proc/sys/net/ipv4/tcp_syn_retries", "utf8"));
    t.ok(
      defaults.connectTimeoutMs >= (2 ** (Math.min(retries, 6) + 1) - 1) * 1000,
      "Docker's own docker-proxy, and its NAT, wait so long",
    );
    t.ok(defaults.udpIdleMs >= 120_000, "nf_conntrack_udp_timeout_stream: what a port published by Docker's NAT has");
    t.end();
  },
);

t.test("a container that takes no connection is waited for, and refuses when its time is up", async (t) => {
  const listener = tcpSocket("ipv4");
  t.teardown(() => closeDescriptor(listener));
  bindSocket(listener, { ip: "127.0.0.1", port: 0 });
  listenSocket(listener, 0);
  const target = { ip: "127.0.0.1", port: localAddress(listener).port };
  const queued = TestClient.to(t, target);
  await until("its queue is full", () => !queued.socket.connecting);
  const proxy = new TestProxy(t);
  const [patient, hasty] = [
    TestClient.to(t, proxy.open(target)),
    TestClient.to(t, proxy.open(target, { connectTimeoutMs: 1000 }, { id: "hasty" })),
  ];
  await until("the hasty one is refused", () => hasty.closed);
  t.notOk(patient.ended || patient.closed);
});
