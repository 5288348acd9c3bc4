import t from "tap";
import { networkPart } from "./network-part.js";

t.test("the network's part is taken between neighbours, so that a slow moment of both does not count", (t) => {
  t.equal(networkPart({ with: [150, 950, 160], without: [100, 900, 100] }), 50);
  t.end();
});
