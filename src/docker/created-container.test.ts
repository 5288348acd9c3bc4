import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import t from "tap";
import { createdContainer } from "./created-container.js";

const id = "a".repeat(64);
const config = {
  ID: id,
  Name: "/web",
  Config: { Hostname: "web", Labels: { "pontoon.dns": "off", other: "x" }, ExposedPorts: { "80/tcp": {} } },
  State: { Running: false, Pid: 0 },
  NetworkSettings: { Networks: { front: { NetworkID: "n1", Aliases: ["shop"], Links: ["db:store"] } } },
  HostsPath: "/var/lib/docker/containers/a/hosts",
};
const hostConfig = { NetworkMode: "front", Dns: ["10.0.0.53"], DnsSearch: ["example"] };

function folderWith(folder: string, files: Record<string, unknown>): void {
  mkdirSync(join(folder, "containers", id), { recursive: true });
  for (const [name, value] of Object.entries(files))
    writeFileSync(join(folder, "containers", id, name), typeof value === "string" ? value : JSON.stringify(value));
}

t.test("what dockerd keeps of a container is what inspecting it shows before its start", async (t) => {
  const folder = t.testdir();
  folderWith(folder, { "config.v2.json": config, "hostconfig.json": hostConfig });
  const container = await createdContainer("/root", id, (file) => file.replace("/root", folder));
  t.match(container, {
    id,
    name: "web",
    hostname: "web",
    labels: { "pontoon.dns": "off" },
    running: false,
    partial: false,
    hostsPath: config.HostsPath,
  });
  t.same(container?.dns, { servers: ["10.0.0.53"], options: [], search: ["example"] });
  t.same(container?.endpoints[0]?.aliases, ["shop"]);
  t.same(container?.endpoints[0]?.links, [["db", "store"]]);
});

t.test("what cannot be read, and what is another container's, is nothing", async (t) => {
  const folder = t.testdir();
  const read = () => createdContainer("/root", id, (file) => file.replace("/root", folder));
  t.equal(await read(), undefined);
  folderWith(folder, { "config.v2.json": "{", "hostconfig.json": hostConfig });
  t.equal(await read(), undefined);
  folderWith(folder, {
    "config.v2.json": { ...config, State: { Running: true, Pid: 7 } },
    "hostconfig.json": hostConfig,
  });
  t.equal(await read(), undefined, "one that runs");
  folderWith(folder, { "config.v2.json": { ...config, ID: "b".repeat(64) }, "hostconfig.json": hostConfig });
  t.equal(await read(), undefined);
});
