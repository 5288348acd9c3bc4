import { createRequire } from "node:module";
import type Dockerode from "dockerode";

/**
 * What the library loads and we never use: gRPC, which it builds images with, and a client of ssh, for which we start the
 * program (connection.ts). They would be two thirds of the library's memory and of the time it takes to load.
 */
const unused = {
  dockerode: ["@grpc/grpc-js", "@grpc/proto-loader"],
  "docker-modem": ["ssh2"],
} as const;

/** Loads the library, with nothing in the place of what is not used. Whoever else requires those gets nothing, too. */
export function loadDockerode(): typeof Dockerode {
  let require = createRequire(import.meta.url);
  for (const [library, modules] of Object.entries(unused)) {
    require = createRequire(require.resolve(library));
    for (const name of modules) leaveOut(require, require.resolve(name));
  }
  return require("dockerode") as typeof Dockerode;
}

function leaveOut(require: NodeJS.Require, filename: string): void {
  const empty: Partial<NodeJS.Module> = { id: filename, filename, loaded: true, exports: {}, children: [], paths: [] };
  require.cache[filename] ??= empty as NodeJS.Module;
}
