import t from "tap";
import { testEnd } from "./suites/published-end.js";
import { natMode } from "./suites/published-host.js";

testEnd(t, natMode);
