import t from "tap";
import { natMode } from "./published-host.js";
import { testPublishedPorts } from "./published-ports.js";

testPublishedPorts(t, natMode);
