import t from "tap";
import { Ping } from "./ping.js";
import { insideNewNamespace } from "./netns.js";
import { skipWithoutNft as skip } from "./testing/nft.js";

for (const ip of ["127.0.0.1", "::1"])
  t.test(`${ip} answers`, { skip }, async (t) => {
    const ping = new Ping(ip);
    t.teardown(() => ping.close());
    t.equal(ping.hasAnswered(), false);
    ping.send();
    while (!ping.hasAnswered()) await new Promise((resolve) => setImmediate(resolve));
  });

t.test("where there is no way, it says so", { skip }, (t) => {
  insideNewNamespace(() => t.throws(() => new Ping("192.0.2.1"), { code: "ENETUNREACH" }));
  t.end();
});
