import { createRequire } from "node:module";
import type Dockerode from "dockerode";
import { leaveOut, placeOf } from "../../common/left-out-modules.js";

/**
 * What the library loads and we never use: gRPC, which it builds images with, and a client of ssh, for which we start the
 * program (connection.ts). They would be two thirds of the library's memory and of the time it takes to load.
 */
const unused = {
  dockerode: ["@grpc/grpc-js", "@grpc/proto-loader"],
  "docker-modem": ["ssh2"],
} as const;

/**
 * Loads the library, with nothing in the place of what is not used. Whoever else requires those gets nothing, too. What a
 * version of the library does without is passed over.
 * @param leftOut modules, by the library that requires them; each library is required by the one before it
 */
export function loadDockerode(leftOut: Readonly<Record<string, readonly string[]>> = unused): typeof Dockerode {
  const own = createRequire(import.meta.url);
  let require = own;
  for (const [library, modules] of Object.entries(leftOut)) {
    const entry = placeOf(require, library);
    if (entry === undefined) break;
    require = createRequire(entry);
    leaveOut(require, modules);
  }
  return own("dockerode") as typeof Dockerode;
}
