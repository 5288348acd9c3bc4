// The TypeScript entry, for hosts on which the shim could not be compiled, keeps the same contract.
import { join } from "node:path";
import t from "tap";
import { testContract } from "./suites/docker-proxy-contract.js";
import { repositoryRoot } from "../lab/root.js";

testContract(t, [process.execPath, join(repositoryRoot, "dist", "proxy", "shim", "docker-proxy.js")]);
