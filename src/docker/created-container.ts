import { join } from "node:path";
import type { ContainerInspectInfo } from "dockerode";
import { readRegularFile } from "../../common/files.js";
import type { Container } from "../inventory/types.js";
import { containerOf } from "./normalise.js";

/** Bytes of each file; what dockerd says of a container is bounded alike. */
const fileAtMost = 4 << 20;

/**
 * A container that was created and has not run yet, as dockerd has it in its files: while it starts one, it does not answer
 * what the container is. Its `config.v2.json` and `hostconfig.json` have what inspecting it shows (Docker 20.10 to 29).
 * @param pathOf where a file of dockerd's is found
 * @returns undefined for what cannot be read, or is of another container
 */
export async function createdContainer(
  rootDir: string,
  id: string,
  pathOf: (file: string) => string,
): Promise<Container | undefined> {
  try {
    const read = async (name: string) => {
      const path = pathOf(join(rootDir, "containers", id, name));
      const { text, isWhole } = await readRegularFile(path, fileAtMost, { followLink: false });
      return isWhole ? (JSON.parse(text) as Record<string, unknown>) : {};
    };
    const [config, hostConfig] = await Promise.all([read("config.v2.json"), read("hostconfig.json")]);
    if ((config.State as { Running?: unknown } | undefined)?.Running === true) return undefined; // dockerd answers for those that run
    const container = containerOf({
      ...config,
      Id: config.ID,
      HostConfig: hostConfig,
      State: {},
    } as unknown as ContainerInspectInfo);
    return container.id === id ? container : undefined;
  } catch {
    return undefined; // it is known a little later, as any other
  }
}
