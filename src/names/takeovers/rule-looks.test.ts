import { mock } from "node:test";
import t from "tap";
import { RuleLooks } from "./rule-looks.js";

/** Looks, in time the test lets pass. */
class Bench {
  readonly seen: string[] = [];
  now = 0;
  readonly looks = new RuleLooks((id) => {
    this.seen.push(`${id} ${this.now}`);
    return Promise.resolve();
  });

  constructor(t: { teardown(work: () => void): void }) {
    mock.timers.enable({ apis: ["setTimeout"] });
    const clock = mock.method(performance, "now", () => this.now);
    t.teardown(() => {
      mock.timers.reset();
      clock.mock.restore();
    });
  }

  /** @param each done at every step of 100 ms */
  async pass(ms: number, each: () => void = () => undefined): Promise<void> {
    for (const end = this.now + ms; this.now < end;) {
      each();
      this.now += 100;
      mock.timers.tick(100);
      for (let turn = 0; turn < 5; turn++) await new Promise((resolve) => setImmediate(resolve));
    }
  }
}

t.test("changes in a row are looked at once, and who goes on changing now and then", async (t) => {
  const { looks, seen, pass } = bound(new Bench(t));
  await pass(400, () => looks.soon("web"));
  t.same(seen, []);
  await pass(200);
  t.same(seen, ["web 500"]);
  await pass(10_000, () => looks.soon("web"));
  t.ok(seen.length <= 6, seen.join());
  await pass(3000, () => looks.soon("other"));
  t.ok(seen.filter((line) => line.startsWith("other")).length >= 1, "others have their turn");
});

t.test("who is forgotten is not looked at", async (t) => {
  const { looks, seen, pass } = bound(new Bench(t));
  looks.soon("gone");
  looks.forget("gone");
  looks.soon("web");
  await pass(3000);
  t.same(seen, ["web 500"]);
});

function bound(bench: Bench): { looks: RuleLooks; seen: string[]; pass: Bench["pass"] } {
  return { looks: bench.looks, seen: bench.seen, pass: bench.pass.bind(bench) };
}
