import type { BareHost } from "../../integration/lab/index.js";
import { ControlClient } from "../../src/control/client.js";

/** Asks the daemon of a host from the machine, where nothing is measured. */
export function controlPost(host: BareHost): (path: string, body: object) => Promise<unknown> {
  const client = new ControlClient(host.path("/run/pontoon/control.sock"));
  return (path, body) => client.post(path, body);
}
