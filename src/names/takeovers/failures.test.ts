import t from "tap";
import { Failures, GivenBack } from "./failures.js";

function made() {
  const clock = { now: 1000 };
  const failures = new Failures(() => clock.now);
  const after = () => failures.all.get("a")!.againAt - clock.now;
  return { clock, failures, after };
}

t.test("what fails is tried again later each time, up to a minute, and is told once for each reason", (t) => {
  const { failures, after } = made();
  const told: boolean[] = [];
  const times = Array.from({ length: 8 }, () => {
    told.push(failures.failed("a", "EPERM", "setns: EPERM"));
    return after();
  });
  t.same(times, [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000]);
  t.same(told, [true, ...Array<boolean>(7).fill(false)]);
  t.ok(failures.failed("a", "FOREIGN_DNS_RULES", "its own rules"));
  failures.forget("a");
  failures.failed("a", "EPERM", "setns: EPERM");
  t.equal(after(), 1000, "it counts from the start again");
  t.end();
});

t.test("when rules change it is tried again at once, but no sooner than two seconds after the last time", (t) => {
  const { clock, failures, after } = made();
  for (let tries = 0; tries < 5; tries++) failures.failed("a", "FOREIGN_DNS_RULES", "its own rules");
  clock.now += 500;
  failures.rulesChanged("a");
  t.equal(after(), 1500);
  clock.now += 10_000;
  failures.failed("a", "FOREIGN_DNS_RULES", "its own rules");
  clock.now += 3000;
  failures.rulesChanged("a");
  t.equal(after(), 0);
  failures.rulesChanged("unknown");
  t.equal(failures.all.size, 1);
  t.end();
});

t.test("who was given back is soon tried again, unless it goes on like that, and changes do not hasten it", (t) => {
  const { failures, after } = made();
  const times = [1, 2, 3, 4, 5, 20].map((count) => {
    failures.givenBack("a", "FOREIGN_DNS_RULES", "its own rules", count);
    failures.rulesChanged("a");
    return after();
  });
  t.same(times, [1000, 1000, 1000, 2000, 4000, 60_000]);
  t.end();
});

t.test("who was last given back ten minutes ago counts as new", (t) => {
  const counts = new GivenBack();
  t.same(
    [0, 1000, 600_999, 1_200_999, 1_200_999].map((now) => counts.count(now)),
    [1, 2, 3, 1, 2],
  );
  t.end();
});
