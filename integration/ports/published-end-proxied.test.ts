import t from "tap";
import { testEnd } from "./suites/published-end.js";
import { proxyMode } from "./suites/published-host.js";

testEnd(t, proxyMode);
