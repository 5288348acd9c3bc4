import t from "tap";
import { testEnd } from "./published-end.js";
import { proxyMode } from "./published-host.js";

testEnd(t, proxyMode);
