import pino from "pino";
import t from "tap";
import { PontoonError } from "../../../common/errors.js";
import { MemoryStore } from "../testing/memory-store.js";
import { Dues } from "./dues.js";
import type { Plugins } from "./plugins.js";

/** Plugins that write down what they are asked. */
class Asked {
  readonly heard: string[] = [];
  readonly failures = new Map<string, string>();
  /** Of calls that are under way, those that wait. */
  hold: Promise<void> | undefined;

  get(name: string) {
    return {
      call: async (method: string, body: { Id?: string }) => {
        await this.hold;
        const code = this.failures.get(name);
        if (code !== undefined) throw new PontoonError(code, name, `${name} fails`);
        this.heard.push(`${name} ${method} ${body.Id}`);
      },
    };
  }
}

function duesIn(
  store: MemoryStore,
  asked: Asked,
  registered = new Set<string>(),
  pause = { first: 60_000, atMost: 60_000 },
) {
  const logged: string[] = [];
  const log = pino(
    { level: "warn" },
    { write: (line: string) => void logged.push((JSON.parse(line) as { msg: string }).msg) },
  );
  const dues = new Dues(store, asked as unknown as Plugins, (id) => registered.has(id), log, pause);
  dues.load();
  t.teardown(() => dues.stop());
  return { dues, logged };
}

const call = (plugin: string, Id: string, method = "D.Delete") => ({ plugin, method, body: { Id } });

t.test("what is due is told, in its order, and once", async (t) => {
  const [store, asked] = [new MemoryStore(), new Asked()];
  const { dues } = duesIn(store, asked);
  dues.owe("net", "network net", [call("one", "net")]);
  asked.failures.set("one", "PLUGIN_UNREACHABLE");
  await dues.settle(["net"]);
  asked.failures.clear();
  dues.owe("end", "an endpoint", [call("one", "end", "D.Leave"), call("one", "end"), call("two", "address")]);
  dues.owe("end", "an endpoint", [call("one", "end", "D.Leave"), call("two", "address")]);
  await dues.settle(["nothing"]);
  t.same(asked.heard, []);
  await dues.settle(["end"]);
  t.same(
    asked.heard,
    ["one D.Delete net", "one D.Leave end", "two D.Delete address"],
    "what was due to the same plugin before comes first",
  );
  await dues.settle(["end"]);
  t.equal(asked.heard.length, 3);
  t.ok(dues.isEmpty);
  t.equal(store.all("due").size, 0);
});

t.test("what is registered is not due", async (t) => {
  const [store, asked, registered] = [new MemoryStore(), new Asked(), new Set(["end"])];
  const { dues } = duesIn(store, asked, registered);
  dues.owe("end", "an endpoint", [call("one", "end")]);
  await dues.settle(["end"]);
  t.same(asked.heard, []);
  const next = duesIn(store, asked, registered).dues;
  next.start();
  t.ok(next.isEmpty, "a daemon that finds it registered has nothing to take back");
  t.equal(store.all("due").size, 0);
  duesIn(store, asked).dues.drop("end");
});

t.test("who does not hear is told later, the rest of it, and by the next daemon as well", async (t) => {
  const [store, asked] = [new MemoryStore(), new Asked()];
  const { dues, logged } = duesIn(store, asked);
  asked.failures.set("two", "PLUGIN_SLOW");
  dues.owe("end", "an endpoint", [call("one", "end"), call("two", "address"), call("one", "more")]);
  dues.owe("other", "another", [call("two", "other"), call("three", "other")]);
  dues.owe("third", "a third", [call("three", "third")]);
  await dues.settle(["end", "other", "third"]);
  t.same(asked.heard, ["one D.Delete end"], "nothing overtakes what is due to the same plugin before");
  t.same(logged, ["a plugin is told later"], "one that hangs is waited for once");
  asked.failures.delete("two");
  const { dues: next } = duesIn(store, asked);
  next.start();
  await next.settle(["end", "other", "third"]);
  const [, ...later] = asked.heard;
  t.same(later, [
    "two D.Delete address",
    "one D.Delete more",
    "two D.Delete other",
    "three D.Delete other",
    "three D.Delete third",
  ]);
});

t.test("what is being made is not due while something else is told", async (t) => {
  const asked = new Asked();
  const { dues } = duesIn(new MemoryStore(), asked);
  dues.owe("making", "an endpoint", [call("one", "making")]);
  dues.owe("gone", "an endpoint", [call("one", "gone")]);
  await dues.settle(["gone"]);
  t.same(asked.heard, ["one D.Delete gone"]);
  await dues.settle(["making"]);
  t.same(asked.heard, ["one D.Delete gone", "one D.Delete making"]);
});

t.test("it is told again by itself", async (t) => {
  const asked = new Asked();
  const { dues } = duesIn(new MemoryStore(), asked, new Set(), { first: 1, atMost: 2 });
  asked.failures.set("one", "PLUGIN_UNREACHABLE");
  dues.owe("end", "an endpoint", [call("one", "end")]);
  await dues.settle(["end"]);
  asked.failures.clear();
  while (asked.heard.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  t.same(asked.heard, ["one D.Delete end"]);
});

t.test("what a plugin refuses is logged, and done", async (t) => {
  const asked = new Asked();
  const { dues, logged } = duesIn(new MemoryStore(), asked);
  asked.failures.set("one", "PLUGIN_REFUSED");
  dues.owe("end", "an endpoint", [call("one", "end"), call("two", "address")]);
  await dues.settle(["end"]);
  t.same(asked.heard, ["two D.Delete address"]);
  t.same(logged, ["a plugin did not take back what it was asked for"]);
  t.ok(dues.isEmpty);
});

t.test("more than a thousand are not kept, and what makes no sense is put aside", (t) => {
  const [store, asked] = [new MemoryStore(), new Asked()];
  store.write([{ kind: "due", key: "odd", value: { id: "odd", calls: 1 } }]);
  const { dues, logged } = duesIn(store, asked);
  t.equal(store.putAsideOnes.length, 1);
  for (let number = 0; number <= 1000; number++) dues.owe(`d${number}`, "one of many", [call("one", String(number))]);
  t.equal(store.all("due").size, 1000);
  t.notOk(store.all("due").has("d0"), "the first goes");
  t.equal(logged.length, 1);
  t.end();
});
