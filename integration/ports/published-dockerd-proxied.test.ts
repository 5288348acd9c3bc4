import t from "tap";
import { proxyMode } from "./suites/published-host.js";
import { testDockerdRestarts } from "./suites/published-dockerd.js";

testDockerdRestarts(t, proxyMode);
