import t from "tap";
import { refusalOf, sandboxRecord } from "../testing/records.js";
import type { AttachRequest } from "./attach-request.js";
import { endpointRequest, isOfContainer, sandboxNames } from "./attached-sandbox.js";
import { requireLink } from "./link-check.js";

const container = "0123456789abcdef".repeat(4);
const request: AttachRequest = {
  engine: "cni",
  container,
  netns: "/run/netns/x",
  ifname: "eth0",
  network: "front",
  attachment: "shop",
  name: "web",
  ips: [],
  mac: undefined,
  aliases: ["www", "web", "not a name", "0123456789ab"],
  ports: [],
  dns: { servers: [], search: [], options: [] },
};

t.test("a sandbox is called as its container is, or by the beginning of its id", (t) => {
  t.same(sandboxNames(request), ["web", "0123456789ab", container.slice(0, 63)]);
  t.same(sandboxNames({ container: "c1", name: "no name" }), ["c1", "c1"]);
  t.end();
});

t.test("a container has all its names, each once", (t) => {
  const names = (sandbox: string) => endpointRequest(request, sandboxRecord(sandbox), "n").aliases;
  t.same(names("web"), ["www", "0123456789ab"]);
  t.same(names("0123456789ab"), ["www", "web"]);
  t.end();
});

t.test("a container is that of one engine", (t) => {
  const namespace = { kind: "adopted", target: "/run/netns/x", attached: { engine: "cni", container } } as const;
  t.ok(isOfContainer(sandboxRecord("web", { namespace }), request));
  t.notOk(isOfContainer(sandboxRecord("web", { namespace }), { engine: "netavark", container }));
  t.notOk(isOfContainer(sandboxRecord("web"), request));
  t.end();
});

t.test("a link is as it is to be, or it is told what is otherwise", (t) => {
  const seen = { mac: "02:42:0a:01:00:02", addresses: ["10.1.0.2/24", "fe80::1/64"] };
  const expect = (mac: string | undefined, ...addresses: string[]) =>
    refusalOf(() => requireLink("eth0", { mac, addresses }, seen));
  const cases = [
    [expect("02:42:0A:01:00:02", "10.1.0.2/24"), "", /taken/],
    [expect(undefined), "", /taken/],
    [expect("02:42:0a:01:00:03"), "ATTACHMENT_BROKEN", /not 02:42:0a:01:00:03/],
    [expect(undefined, "10.1.0.3/24"), "ATTACHMENT_BROKEN", /does not have 10\.1\.0\.3\/24/],
    [
      refusalOf(() => requireLink("eth0", { mac: undefined, addresses: [] }, undefined)),
      "ATTACHMENT_BROKEN",
      /is not there/,
    ],
  ] as const;
  for (const [[code, message], expectedCode, text] of cases) {
    t.equal(code, expectedCode);
    t.match(message, text);
  }
  t.end();
});
