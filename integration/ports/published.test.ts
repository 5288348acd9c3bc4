import t from "tap";
import { natMode } from "./suites/published-host.js";
import { testPublishedPorts } from "./suites/published-ports.js";

testPublishedPorts(t, natMode);
