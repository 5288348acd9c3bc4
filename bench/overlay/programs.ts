import { fileURLToPath } from "node:url";

/** The helper programs of this folder, in their built form. */
export const programs = {
  connect: built("connect-child.js"),
  name: built("name-child.js"),
  paper: built("paper-child.js"),
} as const;

/** Where iperf3 serves. */
export const bulkPort = 5201;
export const iperfServer = ["iperf3", "--server", "--daemon", "--port", String(bulkPort)];

function built(file: string): string {
  return fileURLToPath(new URL(file, import.meta.url));
}
