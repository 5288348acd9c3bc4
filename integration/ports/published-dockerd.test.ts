import t from "tap";
import { natMode } from "./suites/published-host.js";
import { testDockerdRestarts } from "./suites/published-dockerd.js";

testDockerdRestarts(t, natMode);
