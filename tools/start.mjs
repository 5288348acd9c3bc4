// `sudo npm start`: from a fresh clone to a running daemon. Runs the daemon in this very process.
import { join } from "node:path";
import { requireShim } from "./build-shim.mjs";
import { requireBuild, requireNodeModules, requirePlatform, requireRoot, root } from "./prepare.mjs";

requirePlatform();
requireRoot("npm start");
await requireNodeModules({ development: false });
await requireBuild("tsconfig.build.json");
requireShim();

process.argv = [process.execPath, join(root, "bin", "pontoon"), "daemon", ...process.argv.slice(2)];
await import("../dist/src/main.js");
