import t from "tap";
import { testEnd } from "./published-end.js";
import { natMode } from "./published-host.js";

testEnd(t, natMode);
