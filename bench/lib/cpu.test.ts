import t from "tap";
import { parseCpuSeconds } from "./cpu.js";

t.test("user and system time count, of ended children too, whatever the process is called", (t) => {
  const stat = (name: string) =>
    `42 (${name}) S 1 42 42 0 -1 4194560 100 200 0 0 150 250 30 70 20 0 11 0 12345 1000000 5000`;
  t.equal(parseCpuSeconds(stat("dockerd")), 5);
  t.equal(parseCpuSeconds(stat("a) S 1 (b")), 5);
  t.end();
});
