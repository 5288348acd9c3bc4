import t from "tap";
import type { Gap } from "../../dns/protocol.js";
import { GapKeeper } from "./gap.js";

t.test("a gap opens at once and closes when it is told to", (t) => {
  const told: Gap[] = [];
  const gap = new GapKeeper((now) => told.push(now));
  gap.want({ everywhere: true, networks: [] });
  t.same(told, [{ everywhere: true, networks: [] }]);
  gap.want({ everywhere: false, networks: ["red"] });
  t.equal(told.length, 1, "red is within everywhere");
  gap.close();
  t.same(told.at(-1), { everywhere: false, networks: ["red"] });
  gap.want({ everywhere: false, networks: ["blue"] });
  t.same(told.at(-1), { everywhere: false, networks: ["blue", "red"] }, "red's records may be on their way");
  gap.want({ everywhere: false, networks: [] });
  gap.close();
  t.same(told.at(-1), { everywhere: false, networks: [] });
  t.end();
});
