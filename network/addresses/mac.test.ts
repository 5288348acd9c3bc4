import t from "tap";
import { macOf } from "./mac.js";

t.test("a MAC follows from the address", (t) => {
  const cases: [address: string, mac: string][] = [
    ["172.17.0.2", "02:42:ac:11:00:02"],
    ["10.89.255.254", "02:42:0a:59:ff:fe"],
    ["::ffff:172.17.0.2", "02:42:ac:11:00:02"],
    ["fd00::2", "02:00:00:00:00:02"],
    ["FD00::ab12:cdef:1234:5678", "02:ef:12:34:56:78"],
  ];
  for (const [address, mac] of cases) {
    t.equal(macOf(address), mac, address);
    t.equal(parseInt(mac, 16) & 3, 2, "locally administered, of one station");
  }
  t.end();
});
