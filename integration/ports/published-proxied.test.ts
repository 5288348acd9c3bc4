import t from "tap";
import { proxyMode } from "./suites/published-host.js";
import { testPublishedPorts } from "./suites/published-ports.js";

testPublishedPorts(t, proxyMode);
