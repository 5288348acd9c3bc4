import t from "tap";
import { SO_ACCEPTCONN, SOL_SOCKET } from "../../linux/constants.js";
import { openListener } from "../../linux/listener.js";
import { closeDescriptor, getOption, localAddress } from "../../linux/socket.js";
import { openDescriptors } from "../../linux/testing/loop.js";
import { atOnce } from "../../linux/pieces.js";
import { bindPort as bindInPieces, PortTaken, withHolders, type HostPort } from "./bind.js";

/** With who has the port, if it is taken. */
const bindPort: (...args: Parameters<typeof bindInPieces>) => HostPort[] = (...args) => {
  try {
    return atOnce(bindInPieces(...args));
  } catch (error) {
    throw error instanceof PortTaken ? atOnce(withHolders([error]))[0]! : error;
  }
};

const both = ["127.0.0.1", "::1"];

function free(): number {
  const ports = bindPort("tcp", both, undefined);
  release(ports);
  return ports[0]!.port;
}

const release = (ports: readonly HostPort[]) => ports.forEach(({ descriptor }) => closeDescriptor(descriptor));

t.test("one port on every address", (t) => {
  const port = free();
  const ports = bindPort("tcp", both, { first: port, last: port });
  t.same(
    ports.map(({ descriptor, ip }) => [
      ip,
      localAddress(descriptor),
      getOption(descriptor, SOL_SOCKET, SO_ACCEPTCONN, "SO_ACCEPTCONN"),
    ]),
    both.map((ip) => [ip, { ip, port }, 1]),
  );
  release(ports);
  t.end();
});

t.test("any free one: the same for all", (t) => {
  for (const protocol of ["tcp", "udp"] as const) {
    const ports = bindPort(protocol, both, undefined);
    t.equal(new Set(ports.map(({ port }) => port)).size, 1);
    t.ok(ports[0]!.port > 0);
    release(ports);
  }
  t.end();
});

t.test("taken on one address: nothing is bound, and it says by whom", (t) => {
  const port = free();
  const squatter = openListener("tcp", { ip: "::1", port });
  const before = openDescriptors();
  t.throws(() => bindPort("tcp", both, { first: port, last: port }), {
    code: "PORT_TAKEN",
    message: new RegExp(`^tcp port \\[::1\\]:${port} is taken \\(held by \\S+, pid ${process.pid}\\); choose another$`),
  });
  t.equal(openDescriptors(), before);
  closeDescriptor(squatter);
  t.end();
});

t.test("the first of a range that is free everywhere and not kept", (t) => {
  const first = 20_000 + (process.pid % 20_000);
  const range = { first, last: first + 4 };
  const squatters = [
    openListener("tcp", { ip: "127.0.0.1", port: first }),
    openListener("tcp", { ip: "::1", port: first + 1 }),
  ];
  const ports = bindPort("tcp", both, range, (port) => port === first + 2);
  t.same(
    ports.map(({ port }) => port),
    [first + 3, first + 3],
  );
  const before = openDescriptors();
  t.throws(() => bindPort("tcp", both, { first, last: first + 3 }, (port) => port === first + 2), {
    code: "PORT_TAKEN",
    message: `no tcp port from ${first} to ${first + 3} of 127.0.0.1 and ::1 is free; choose others`,
  });
  t.equal(openDescriptors(), before);
  release(ports);
  squatters.forEach(closeDescriptor);
  t.end();
});

t.test("an address of another host", (t) => {
  t.throws(() => bindPort("udp", ["198.51.100.7"], undefined), {
    code: "ADDRESS_NOT_HERE",
    message: /^198\.51\.100\.7 is not an address of this host/,
  });
  t.throws(() => bindPort("udp", ["127.0.0.1", "198.51.100.7"], { first: 5353, last: 5360 }), {
    code: "ADDRESS_NOT_HERE",
  });
  t.end();
});
