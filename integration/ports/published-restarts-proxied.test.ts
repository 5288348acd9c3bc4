import t from "tap";
import { proxyMode } from "./suites/published-host.js";
import { testRestarts } from "./suites/published-restarts.js";

testRestarts(t, proxyMode);
