import t from "tap";
import { natMode } from "./suites/published-host.js";
import { testRestarts } from "./suites/published-restarts.js";

testRestarts(t, natMode);
