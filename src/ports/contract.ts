import { z } from "zod";
import type { Transport } from "../inventory/types.js";
import type { Path } from "./kernel-path.js";
import { chosenOptions } from "./option-schemas.js";

// What the control API takes and gives about published ports.

const nameOrId = z.string().min(1);
/** Docker's `-p` syntax. */
const specs = z.array(z.string()).max(10_000).readonly();

/** `POST /v1/ports/publish`. */
export const publishRequest = z
  .strictObject({
    /** Name, or id, or its beginning. */
    container: nameOrId,
    specs,
    /** Publish every exposed port on a free one, as Docker's `-P` does. */
    all: z.boolean().exactOptional(),
    /** For specs that name no address; instead of the configuration's. */
    ip: z.union([z.ipv4(), z.ipv6()]).exactOptional(),
    options: chosenOptions.exactOptional(),
  })
  .refine(({ specs, all }) => specs.length > 0 || all === true, "nothing is to be published");

/** Answered with the rows that were published, in the order of the specs. */
export type PublishRequest = Readonly<z.infer<typeof publishRequest>>;

/** `POST /v1/ports/unpublish`. */
export const unpublishRequest = z.strictObject({
  container: nameOrId,
  /** As given to publish, or only the container's side (`80`, `80/udp`); empty: everything `pontoon publish` published of it. */
  specs,
});

/** Answered with the rows that are gone. */
export type UnpublishRequest = Readonly<z.infer<typeof unpublishRequest>>;

/** One published port of the host: `GET /v1/ports`, sorted by container, container's port, transport, address. */
export interface PortRow {
  readonly container: string;
  readonly containerPort: number;
  readonly transport: Transport;
  readonly ip: string;
  readonly hostPort: number;
  readonly by: "docker" | "pontoon";
  readonly source: "docker" | "command" | "label" | "driver";
  /**
   * `refusing`: the container is down; `failed`: not bound, for `reason`. Docker's own are `open`, or `failed` if they kept the
   * container from starting.
   */
  readonly state: "open" | "refusing" | "failed";
  /** Of an open port: why the last connection to the container failed, if one did. */
  readonly reason?: string;
  /** Address and port in the container, `172.18.0.2:80`. */
  readonly target?: string;
  /** Of an open port of pontoon's: whether the kernel forwards clients, or pontoon-proxy serves them. */
  readonly path?: Path;
  /** Open connections, or UDP flows; unknown for what Docker's own docker-proxy serves. */
  readonly connections?: number;
  readonly accepted?: number;
  readonly refused?: number;
  readonly failedDials?: number;
  /** How often no source port was left towards the container. */
  readonly withoutSourcePort?: number;
  readonly bytesToContainer?: number;
  readonly bytesToClients?: number;
}
