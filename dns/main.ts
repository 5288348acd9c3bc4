// pontoon-dns: the process that answers 127.0.0.11. Started by the daemon as root with a listening control socket as
// descriptor 3; everything it needs is loaded before it becomes an ordinary user.
import { setPriority } from "node:os";
import { parseArgs } from "node:util";
import { errorCode } from "../src/errors.js";
import { dropPrivileges, hasBoundingSet, raiseDescriptorLimit, restartWithoutBoundingSet } from "../src/linux/privileges.js";
import { Reactor } from "../src/linux/reactor.js";
import { checkLayouts } from "../src/linux/selftest.js";
import { Control } from "./control.js";

const controlDescriptor = 3;
/** A little ahead of ordinary programs: a busy machine must not let the takeover lapse. */
const priority = -5;

const { values } = parseArgs({ options: { user: { type: "string" }, version: { type: "string" } }, strict: true });
const user = Number(values.user);
if (!Number.isInteger(user) || user <= 0) throw new Error("pontoon-dns is started by the pontoon daemon, not by hand");

if (hasBoundingSet()) {
  goAhead();
  raiseDescriptorLimit();
  restartWithoutBoundingSet([controlDescriptor]);
}

checkLayouts();
const reactor = new Reactor();
const control = new Control(reactor, { version: values.version ?? "unknown", stop });
dropPrivileges(user);
control.listen(controlDescriptor);
// A terminal's Ctrl-C does not reach this session; SIGTERM from an administrator is a wish to end in good order.
process.on("SIGTERM", stop);
reactor.start();

function goAhead(): void {
  try {
    setPriority(0, priority);
  } catch (error) {
    // Node gives errors of `os` a code of their own, and the kernel's in `info`.
    const code = errorCode((error as { info?: unknown }).info) ?? errorCode(error);
    if (code !== "EACCES" && code !== "EPERM") throw error; // a container without CAP_SYS_NICE
  }
}

function stop(): void {
  for (const sandbox of [...control.server.sandboxes.values()]) control.server.drop(sandbox);
  process.exit(0);
}
