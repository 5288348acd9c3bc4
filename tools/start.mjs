// `sudo npm start`: from a fresh clone to a running daemon. Runs the daemon in this very process.
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { requireProgram } from "./build.mjs";
import { requirePlatform, requireRoot, root } from "./prepare.mjs";

requirePlatform();
requireRoot("npm start");
await requireProgram({ development: false });

process.argv = [process.execPath, join(root, "bin", "pontoon"), "daemon", ...process.argv.slice(2)];
await import(pathToFileURL(join(root, "dist", "src", "main.js")).href);
