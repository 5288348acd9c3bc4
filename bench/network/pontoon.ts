import { ControlClient } from "../../src/control/client.js";
import { namespaces, type Backend } from "./backend.js";

const network = "bench";

/** The daemon, asked as the command asks it, on one connection that stays open. */
export function controlClient(): ControlClient {
  return new ControlClient("/run/pontoon/control.sock");
}

/** pontoon's daemon, which runs already. */
export async function pontoonBackend(): Promise<Backend> {
  const client = controlClient();
  const sandbox = namespaces.comes;
  await client.post("/v1/networks", { name: network, subnets: ["10.92.0.0/16"] });
  for (const name of Object.values(namespaces)) await client.post("/v1/sandboxes", { name, networks: [network] });
  await client.post("/v1/networks/disconnect", { network, sandbox });
  return {
    async connect(port) {
      await client.post("/v1/networks/connect", { network, sandbox });
      if (port !== undefined) await client.post("/v1/ports/publish", { container: sandbox, specs: [`${port}:80`] });
    },
    async disconnect(port) {
      if (port !== undefined) await client.post("/v1/ports/unpublish", { container: sandbox, specs: [] });
      await client.post("/v1/networks/disconnect", { network, sandbox });
    },
  };
}
