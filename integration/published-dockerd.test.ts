import t from "tap";
import { natMode } from "./published-host.js";
import { testDockerdRestarts } from "./published-dockerd.js";

testDockerdRestarts(t, natMode);
