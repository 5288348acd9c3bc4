// Runs in the network namespace of a container and asks at a steady rate. Argument: the load as JSON, with a file of
// questions as dnsperf reads them. Prints what came of it as JSON.
import { readFileSync } from "node:fs";
import { encodeQuery } from "../../integration/lab/dns-message.js";
import { runPaced, type PacedLoad } from "./paced-client.js";

const load = JSON.parse(process.argv[2] ?? "") as PacedLoad & { readonly queryFile: string };
const questions = readFileSync(load.queryFile, "utf8")
  .trim()
  .split("\n")
  .map((line) => line.split(" ") as [name: string, type: string]);
const result = runPaced(
  load,
  questions.map(([name, type]) => encodeQuery(name, type)),
);
process.stdout.write(JSON.stringify(result));
