import t from "tap";
import { proxyMode } from "./published-host.js";
import { testDockerdRestarts } from "./published-dockerd.js";

testDockerdRestarts(t, proxyMode);
