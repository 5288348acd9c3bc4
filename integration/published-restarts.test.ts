import t from "tap";
import { natMode } from "./published-host.js";
import { testRestarts } from "./published-restarts.js";

testRestarts(t, natMode);
