// pontoon-dns: the process that answers 127.0.0.11. Started by the daemon as root, with an empty capability bounding set
// and a listening control socket as descriptor 3; everything it needs is loaded before it becomes an ordinary user.
import { parseArgs } from "node:util";
import { confinementProblem, dropPrivileges } from "../src/linux/privileges.js";
import { RARELY, Reactor } from "../src/linux/reactor.js";
import { checkLayouts } from "../src/linux/selftest.js";
import { Control } from "./control.js";

const controlDescriptor = 3;

const { values } = parseArgs({ options: { user: { type: "string" }, version: { type: "string" } }, strict: true });
const user = Number(values.user);
if (!Number.isInteger(user) || user <= 0) throw new Error("pontoon-dns is started by the pontoon daemon, not by hand");

const unconfined = confinementProblem();
if (unconfined !== undefined)
  throw new Error(`pontoon-dns ${unconfined}; it was not started by a pontoon daemon of this version`);

checkLayouts();
const reactor = new Reactor(RARELY);
const control = new Control(reactor, { version: values.version ?? "unknown", stop });
dropPrivileges(user);
control.listen(controlDescriptor);
// A terminal's Ctrl-C does not reach this session; SIGTERM from an administrator is a wish to end in good order.
process.on("SIGTERM", stop);
reactor.start();

function stop(): void {
  for (const sandbox of [...control.server.sandboxes.values()]) control.server.drop(sandbox);
  process.exit(0);
}
