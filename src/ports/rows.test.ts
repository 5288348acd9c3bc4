import t from "tap";
import type { Report } from "../../proxy/protocol.js";
import type { PublicationReport } from "../../proxy/publication/relay.js";
import { Inventory } from "../inventory/inventory.js";
import { container } from "../inventory/testing/containers.js";
import type { Entry } from "./entry.js";
import { portRows, type PortSources } from "./rows.js";

const entry = (given: Partial<Entry["port"]>, state: Partial<Omit<Entry, "port">> = {}): Entry => ({
  port: {
    container: "web",
    transport: "tcp",
    ip: "0.0.0.0",
    hostPort: 8080,
    containerPort: 80,
    options: {},
    source: "command",
    ...given,
  },
  failure: undefined,
  target: undefined,
  ...state,
});

const reportOf = (given: Partial<PublicationReport>): PublicationReport => ({
  id: "",
  protocol: "tcp",
  listen: { ip: "0.0.0.0", port: 8080 },
  target: { ip: "10.0.0.2", port: 80 },
  connections: 1,
  accepted: 2,
  refused: 3,
  failedDials: 4,
  withoutSourcePort: 0,
  bytesToContainer: 5,
  bytesToClients: 6,
  ...given,
});

function sources(given: Partial<PortSources> & { readonly reports?: readonly PublicationReport[] }): PortSources {
  const inventory = new Inventory();
  inventory.source("docker").putContainer(container("c1", { name: "web" }));
  inventory.source("docker").putContainer(
    container("c2", {
      name: "dockers",
      published: [{ transport: "tcp", ip: "::", hostPort: 9090, containerPort: 90 }],
    }),
  );
  return {
    inventory,
    entries: [],
    labelFailures: new Map(),
    unbound: new Map(),
    kernelMay: true,
    report: given.reports && ({ publications: given.reports } as Report),
    ...given,
  };
}

t.test("states, targets and counters", (t) => {
  const entries = [
    entry({}, { target: { ip: "10.0.0.2", port: 80 } }),
    entry({ ip: "::" }, { target: { ip: "fd00::2", port: 80 } }),
    entry({ hostPort: 8081 }),
    entry({ hostPort: 8082 }, { failure: "taken" }),
  ];
  t.match(portRows(sources({ entries, reports: [reportOf({})] }), "web"), {
    length: 4,
    0: {
      ip: "0.0.0.0",
      state: "open",
      target: "10.0.0.2:80",
      connections: 1,
      accepted: 2,
      refused: 3,
      failedDials: 4,
      withoutSourcePort: 0,
      bytesToContainer: 5,
      bytesToClients: 6,
    },
    1: { ip: "::", state: "open", target: "[fd00::2]:80" },
    2: { hostPort: 8081, state: "refusing" },
    3: { hostPort: 8082, state: "failed", reason: "taken" },
  });
  t.end();
});

t.test("why connections fail, and why clients are refused", (t) => {
  const entries = [
    entry({}, { target: { ip: "10.0.0.2", port: 80 } }),
    entry({ hostPort: 8081 }, { refusal: "the host cannot reach it" }),
  ];
  const reports = [
    reportOf({ dialFailure: "EHOSTUNREACH" }),
    reportOf({ listen: { ip: "0.0.0.0", port: 8081 }, target: undefined, dialFailure: "ECONNREFUSED" }),
    reportOf({ listen: { ip: "::", port: 9090 }, dialFailure: "EWHATEVER" }),
  ];
  t.match(portRows(sources({ entries, reports })), {
    length: 3,
    0: { container: "dockers", reason: "the last connection that failed to 10.0.0.2:80 ended with EWHATEVER" },
    1: { state: "open", failedDials: 4, reason: /ended with EHOSTUNREACH: nobody answers for that address/ },
    2: { state: "refusing", reason: "the host cannot reach it" },
  });
  t.end();
});

t.test("Docker's own, served by whom", (t) => {
  t.match(portRows(sources({})), {
    length: 1,
    0: { container: "dockers", hostPort: 9090, by: "docker", source: "docker", state: "open" },
  });
  const served = reportOf({ listen: { ip: "::", port: 9090 }, target: { ip: "10.0.0.3", port: 90 } });
  t.match(portRows(sources({ reports: [served] })), {
    length: 1,
    0: { by: "pontoon", source: "docker", target: "10.0.0.3:90", connections: 1 },
  });
  t.end();
});

t.test("what dockerd could not bind is no port, but shown with the reason", (t) => {
  const inventory = new Inventory();
  inventory.source("docker").putContainer(
    container("c3", {
      name: "late",
      running: false,
      unboundPort: { transport: "tcp", ip: "0.0.0.0", hostPort: 80, containerPort: 8080 },
    }),
  );
  t.same(portRows(sources({ inventory, unbound: new Map([["c3", "taken"]]) })), [
    {
      container: "late",
      containerPort: 8080,
      transport: "tcp",
      ip: "0.0.0.0",
      hostPort: 80,
      by: "docker",
      source: "docker",
      state: "failed",
      reason: "taken",
    },
  ]);
  t.end();
});

t.test("labels that are not followed: the whole, or a part of a range", (t) => {
  const mapping = { ip: undefined, hostPorts: { first: 81, last: 81 }, containerPort: 91, transport: "tcp" } as const;
  const labelFailures = new Map([
    [
      "web",
      [
        { spec: "http:80", reason: "no port" },
        { spec: "80-82:90-92", mapping, reason: "taken" },
        { spec: "1.2.3.4:70-71:70-71/udp", reason: "host" },
      ],
    ],
  ]);
  t.match(portRows(sources({ labelFailures }), "web"), {
    length: 4,
    0: { containerPort: 0, hostPort: 0, state: "failed", source: "label", reason: "no port" },
    1: { containerPort: 70, hostPort: 70, ip: "1.2.3.4", transport: "udp", reason: "host" },
    2: { containerPort: 71, hostPort: 71, reason: "host" },
    3: { containerPort: 91, hostPort: 81, reason: "taken" },
  });
  t.end();
});

t.test("of one container, by any of its names; also of one that is gone", (t) => {
  const entries = [entry({}), entry({ container: "gone" })];
  t.equal(portRows(sources({ entries })).length, 3);
  t.match(portRows(sources({ entries }), "gone"), { length: 1, 0: { container: "gone", state: "refusing" } });
  t.throws(() => portRows(sources({ entries }), "nobody"), {
    code: "NO_SUCH_CONTAINER",
    message: /^no container or sandbox is called nobody/,
  });
  t.end();
});
