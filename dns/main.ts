// pontoon-dns: the process that answers 127.0.0.11. Started by the daemon as root, with an empty capability bounding set
// and a listening control socket as descriptor 3; everything it needs is loaded before it becomes an ordinary user.
import { parseArgs } from "node:util";
import { dropPrivileges } from "../linux/privileges.js";
import { Reactor } from "../linux/reactor.js";
import { CONTROL_DESCRIPTOR, startedAs } from "../server/start.js";
import { Control } from "./control.js";
import { DnsServer } from "./server.js";

const { values } = parseArgs({ options: { user: { type: "string" }, version: { type: "string" } }, strict: true });
const { user, version } = startedAs("pontoon-dns", values);

const reactor = new Reactor();
const server: DnsServer = new DnsServer(reactor, {
  wantSockets: (sandbox, family, udp, tcp) => control.wantSockets(sandbox, family, udp, tcp),
  ended: (sandbox) => control.ended(sandbox),
  released: (sandbox) => control.released(sandbox),
  answering: (sandbox, answering) => control.answering(sandbox, answering),
});
const control: Control = new Control(server, { version, stop });
dropPrivileges(user);
control.listen(CONTROL_DESCRIPTOR);
// A terminal's Ctrl-C does not reach this session; with SIGTERM an administrator asks it to end in good order.
process.on("SIGTERM", stop);
reactor.start();

function stop(): void {
  for (const sandbox of [...server.sandboxes.values()]) server.drop(sandbox);
  process.exit(0);
}
