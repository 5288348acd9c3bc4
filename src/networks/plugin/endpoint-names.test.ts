import t from "tap";
import type { Endpoint } from "../../inventory/types.js";
import { endpointNames } from "./endpoint-names.js";
import type { DockerEndpointRecord, DockerNetworkRecord } from "./records.js";

const record = (id: string, network: string, rest: Partial<DockerEndpointRecord> = {}): DockerEndpointRecord => ({
  id,
  network,
  hostLink: `ptv${id}`,
  mac: "02:42:0a:00:00:02",
  since: 0,
  ports: [],
  path: `/run/docker/netns/${id}`,
  ...rest,
});
const endpoint = (networkId: string, ipv4: string | undefined, ipv6?: string): Endpoint => ({
  networkId,
  networkName: "",
  aliases: [],
  links: [],
  ipv4,
  ipv6,
  hasGateway: { ipv4: true, ipv6: false },
  gatewayPriority: 0,
});

t.test("an endpoint's container is the one that runs and has its address", (t) => {
  const endpoints = [
    record("e1", "n1", { ipv4: "10.1.0.2" }),
    record("e2", "n1", { ipv4: "10.1.0.3" }),
    record("e3", "n2", { ipv6: "fd01::2" }),
    record("gone", "n1", { ipv4: "10.1.0.4", path: undefined } as unknown as Partial<DockerEndpointRecord>),
  ];
  const records = {
    networks: new Map(["n1", "n2"].map((id) => [id, {} as DockerNetworkRecord])),
    endpoints: new Map(endpoints.map((each) => [each.id, each])),
  };
  const web = {
    id: "c1",
    name: "web",
    running: true,
    endpoints: [endpoint("n1", "10.1.0.2"), endpoint("n2", undefined, "fd01::2")],
  };
  const others = [
    { id: "c2", name: "elsewhere", running: true, endpoints: [endpoint("n3", "10.1.0.3")] },
    { id: "c3", name: "stopped", running: false, endpoints: [endpoint("n1", "10.1.0.3")] },
    { id: "c4", name: "left", running: true, endpoints: [endpoint("n1", "10.1.0.4")] },
    { id: "c5", name: "starting", running: true, endpoints: [endpoint("n1", undefined)] },
  ];
  t.strictSame(
    endpointNames(records, [web, ...others]).map(({ endpoint, container: { id, name } }) => ({
      endpoint,
      container: { id, name },
    })),
    [
      { endpoint: "e1", container: { id: "c1", name: "web" } },
      { endpoint: "e3", container: { id: "c1", name: "web" } },
    ],
  );
  t.end();
});
