import t from "tap";
import { proxyMode } from "./published-host.js";
import { testRestarts } from "./published-restarts.js";

testRestarts(t, proxyMode);
