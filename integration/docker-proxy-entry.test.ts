// The TypeScript entry, for hosts on which the shim could not be compiled, keeps the same contract.
import { join } from "node:path";
import t from "tap";
import { testContract } from "./docker-proxy-contract.js";
import { repositoryRoot } from "./host/root.js";

testContract(t, [process.execPath, join(repositoryRoot, "dist", "proxy", "docker-proxy.js")]);
