import t from "tap";
import { growth, sumOf } from "./servers.js";

t.test("what serves ports has grown by what is there now and was not before", (t) => {
  const before = { dockerd: { processes: 1, pss: 60 }, "docker-proxies": { processes: 2, pss: 4 } };
  const grown = growth(before, {
    dockerd: { processes: 1, pss: 90 },
    "docker-proxies": { processes: 6, pss: 14 },
    "bulk workers": { processes: 1, pss: 5 },
  });
  t.same(grown, {
    dockerd: { processes: 0, pss: 30 },
    "docker-proxies": { processes: 4, pss: 10 },
    "bulk workers": { processes: 1, pss: 5 },
  });
  t.equal(sumOf(grown, "processes"), 5);
  t.equal(sumOf(grown, "pss"), 15);
  t.end();
});

t.test("who has gone has grown by less than nothing", (t) => {
  const grown = growth({ "bulk workers": { processes: 1, pss: 5 } }, {});
  t.same(grown, { "bulk workers": { processes: -1, pss: -5 } });
  t.end();
});
