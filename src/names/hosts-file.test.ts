import fc from "fast-check";
import t from "tap";
import { correctLinks, restoreOwnLines, type LinkedHost } from "./hosts-file.js";

const head = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\nff02::2\tip6-allrouters\n9.9.9.9\tdb\n";
const own = "172.17.0.4\t2a50498a0928\n";
const db: LinkedHost = { alias: "db", hostname: "ab3799bd1b85", name: "child", addresses: ["172.17.0.2"] };

const correct = (content: string, ...links: LinkedHost[]) => correctLinks(Buffer.from(content), links).toString();
const restore = (content: string, hostname: string, ...addresses: string[]) =>
  restoreOwnLines(Buffer.from(content), hostname, addresses).toString();

t.test("a link line", (t) => {
  const right = `${head}172.17.0.2\tdb ab3799bd1b85 child\n${own}`;
  const short = `${head}172.17.0.2\tdb ab3799bd1b85\n${own}`;
  const moved = `${head}172.17.0.9\tdb ab3799bd1b85 child\n${own}`;
  t.equal(correct(right, db), right, "stays when it is right");
  t.equal(correct(right, { ...db, name: "kid" }), right.replace("child", "kid"), "gets the name after a rename");
  t.equal(correct(right, { ...db, name: "db" }), short, "leaves the name out when it is the alias");
  t.equal(correct(short, db), right, "gets a name that is the alias no more");
  t.equal(correct(right, { ...db, addresses: ["172.17.0.9"] }), moved, "gets the address");
  t.equal(
    correct(right, { ...db, hostname: "7f631cd661dd", name: "kid" }),
    right,
    "of another container under the same alias is left alone",
  );
  t.equal(correct(head + own, db), head + own, "that is not there is not added");
  t.equal(
    correct("172.17.0.1\tdb vis-à-vis child\n", { ...db, hostname: "vis-à-vis" }),
    "172.17.0.2\tdb vis-à-vis child\n",
    "may have letters beyond ASCII",
  );
  t.end();
});

t.test("link lines of both families are told apart by their order", (t) => {
  const damaged = "172.17.0.7\tdb ab3799bd1b85 child\n172.17.0.7\tdb ab3799bd1b85 child\n"; // as Docker leaves it
  const right = "172.17.0.7\tdb ab3799bd1b85 child\nfd00::7\tdb ab3799bd1b85 child\n";
  t.equal(correct(damaged, { ...db, addresses: ["172.17.0.7", "fd00::7"] }), right);
  t.equal(
    correct(right, { ...db, addresses: ["172.17.0.7"], name: "kid" }),
    right.replaceAll("child", "kid"),
    "an address that is not known stays",
  );
  t.end();
});

t.test("a line in another form than Docker's is left alone", (t) => {
  const lines = [
    "172.17.0.1 db ab3799bd1b85 child",
    "172.17.0.1\tdb  ab3799bd1b85",
    "#172.17.0.1\tdb ab3799bd1b85",
    "172.17.0.1\tdb ab3799bd1b85 child # mine",
    "172.17.0.1\tdb ab3799bd1b85\r",
  ];
  for (const line of lines) t.equal(correct(`${line}\n`, db), `${line}\n`);
  t.end();
});

t.test("own lines that are missing come to the end", (t) => {
  t.equal(
    restore(head, "2a50498a0928", "172.17.0.4", "fd00::4"),
    `${head}172.17.0.4\t2a50498a0928\nfd00::4\t2a50498a0928\n`,
  );
  t.equal(restore(head + own, "2a50498a0928", "172.17.0.4"), head + own, "what is there stays");
  t.equal(
    restore(`${head}172.17.0.4\tshop.test shop\n`, "shop", "172.17.0.4"),
    `${head}172.17.0.4\tshop.test shop\n`,
    "a domain name makes another line",
  );
  t.equal(
    restore(`${head}172.17.0.41\tother\n# last`, "shop", "172.17.0.4"),
    `${head}172.17.0.41\tother\n# last\n172.17.0.4\tshop\n`,
  );
  t.equal(restore(head, "shop.test", "172.17.0.4"), head, "Docker does not lose dotted names");
  t.equal(restore("", "shop", "172.17.0.4"), "", "an empty file is one Docker is writing");
  t.end();
});

t.test("every other line keeps its bytes, and a second time changes nothing", (t) => {
  const noise = fc.uint8Array({ maxLength: 60 }).map((bytes) => Buffer.from(bytes));
  const property = fc.property(noise, noise, (before, after) => {
    const around = (line: string) => Buffer.concat([before, Buffer.from(`\n${line}\n`), after]);
    const corrected = correctLinks(around("172.17.0.1\tdb ab3799bd1b85 old"), [db]);
    return (
      corrected.equals(around("172.17.0.2\tdb ab3799bd1b85 child")) && correctLinks(corrected, [db]).equals(corrected)
    );
  });
  t.doesNotThrow(() => fc.assert(property));
  t.end();
});
