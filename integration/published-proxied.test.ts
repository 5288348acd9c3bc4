import t from "tap";
import { proxyMode } from "./published-host.js";
import { testPublishedPorts } from "./published-ports.js";

testPublishedPorts(t, proxyMode);
