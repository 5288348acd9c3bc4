import t from "tap";
import { endpointName, parseStoreUrl } from "./store-url.js";

t.test("members", (t) => {
  const names = (url: string): string[] => parseStoreUrl(url).map(endpointName);
  t.same(names("etcd://a"), ["a:2379"]);
  t.same(names("etcd://192.0.2.1:1,[2001:db8::1],[::1]:3/"), ["192.0.2.1:1", "[2001:db8::1]:2379", "[::1]:3"]);
  t.end();
});

t.test("what names no store", (t) => {
  const wrong = [
    "http://a",
    "etcd://",
    "etcd://a,",
    "etcd://2001:db8::1",
    "etcd://[a]",
    "etcd://a:0",
    "etcd://a:65536",
  ];
  for (const url of [...wrong, "etcd://a:", "etcd://a:x", "etcd://u:p@a", "etcd://a,a:2379", "etcd://a/b"])
    t.throws(() => parseStoreUrl(url), { code: "STORE_URL_WRONG" }, url);
  t.end();
});
