import { fileURLToPath } from "node:url";
import type { DockerHost } from "../../integration/lab/index.js";
import { until } from "../../integration/lab/index.js";
import type { HelperProcess } from "../../integration/lab/helper-process.js";
import type { StandInReply, StandInRequest } from "./stand-in-child.js";

const program = fileURLToPath(new URL("stand-in-child.js", import.meta.url));

/** The daemon's own code with a made-up inventory, and a pontoon-dns that it has started. */
export class StandIn {
  private constructor(private readonly helper: HelperProcess<StandInRequest, StandInReply>) {}

  /** Starts one in a host where no pontoon runs. */
  static async start(host: DockerHost): Promise<StandIn> {
    const standIn = new StandIn(host.helper(program));
    await standIn.ask({ do: "start", runDir: "/run/pontoon" });
    return standIn;
  }

  ask(request: StandInRequest): Promise<StandInReply> {
    return this.helper.call(request);
  }

  /** Gives everything back and ends. */
  async stop(): Promise<void> {
    await this.ask({ do: "stop" });
    await this.helper.release();
  }
}

/** The process id, inside the host, of a container's first process, and its sandbox's id. */
export async function placeOf(container: {
  inspect(): Promise<{ Id: string; State: { Pid: number } }>;
}): Promise<{ id: string; pid: number }> {
  const { Id, State } = await until(() => container.inspect(), { what: "the container runs" });
  return { id: Id, pid: State.Pid };
}
