import t from "tap";
import { Attributes } from "../netlink/attributes.js";
import { encodeMessage, GenericNetlink } from "../netlink/generic-netlink.js";
import { getMessage, joinParts, readPart, setMessages } from "./kernel-messages.js";

// Bytes as linux/wireguard.h and linux/genetlink.h prescribe them; no kernel with WireGuard has read them here.

const key = (byte: number) => Buffer.alloc(32, byte);
const base64 = (byte: number) => key(byte).toString("base64");
const u16 = (value: number) => Buffer.of(value & 0xff, value >> 8);
const nested = 0x8000;

/** `struct nlattr`: a length and a type, then the value, filled up to four bytes. */
function attribute(type: number, ...values: Buffer[]): Buffer {
  const value = Buffer.concat(values);
  const padding = Buffer.alloc((4 - (value.length % 4)) % 4);
  return Buffer.concat([u16(4 + value.length), u16(type), value, padding]);
}

const name = attribute(2, Buffer.from("wg0\0")); // WGDEVICE_A_IFNAME

t.test("what is asked is WG_CMD_GET_DEVICE, and what is set WG_CMD_SET_DEVICE", (t) => {
  t.same(encodeMessage(getMessage("wg0")), Buffer.concat([Buffer.of(0, 1, 0, 0), name]));
  const [message, ...more] = setMessages("wg0", {
    privateKey: base64(1),
    port: 51840,
    removed: [base64(2)],
    put: [
      { publicKey: base64(3), endpoint: { ip: "192.0.2.2", port: 51841 }, allowed: ["fe80::2/128", "10.0.0.0/8"] },
      { publicKey: base64(4), endpoint: { ip: "2001:db8::4", port: 1 }, allowed: [] },
    ],
  });
  t.same(more, []);
  const bytes = Buffer.concat([
    Buffer.of(1, 1, 0, 0),
    name,
    attribute(3, key(1)), // WGDEVICE_A_PRIVATE_KEY
    attribute(6, u16(51840)), // WGDEVICE_A_LISTEN_PORT, in the machine's order
    attribute(
      8 | nested, // WGDEVICE_A_PEERS
      attribute(nested, attribute(1, key(2)), attribute(3, Buffer.of(1, 0, 0, 0))), // WGPEER_F_REMOVE_ME
      attribute(
        nested,
        attribute(1, key(3)), // WGPEER_A_PUBLIC_KEY
        attribute(3, Buffer.of(2, 0, 0, 0)), // WGPEER_A_FLAGS: WGPEER_F_REPLACE_ALLOWEDIPS
        // WGPEER_A_ENDPOINT, struct sockaddr_in: family, then port and address in the network's order
        attribute(4, u16(2), Buffer.of(0xca, 0x81, 192, 0, 2, 2), Buffer.alloc(8)),
        attribute(
          9 | nested, // WGPEER_A_ALLOWEDIPS
          attribute(
            nested,
            attribute(1, u16(10)), // WGALLOWEDIP_A_FAMILY: AF_INET6
            attribute(2, Buffer.from("fe800000000000000000000000000002", "hex")), // WGALLOWEDIP_A_IPADDR
            attribute(3, Buffer.of(128)), // WGALLOWEDIP_A_CIDR_MASK
          ),
          attribute(nested, attribute(1, u16(2)), attribute(2, Buffer.of(10, 0, 0, 0)), attribute(3, Buffer.of(8))),
        ),
      ),
      attribute(
        nested,
        attribute(1, key(4)),
        attribute(3, Buffer.of(2, 0, 0, 0)),
        // struct sockaddr_in6: family, port, flow, address, scope
        attribute(
          4,
          u16(10),
          Buffer.of(0, 1),
          Buffer.alloc(4),
          Buffer.from("20010db8000000000000000000000004", "hex"),
          Buffer.alloc(4),
        ),
        attribute(9 | nested),
      ),
    ),
  ]);
  t.equal(encodeMessage(message!).toString("hex"), bytes.toString("hex"));
  t.end();
});

t.test("many peers go in several messages, of which the first has what there is once", (t) => {
  const put = Array.from({ length: 300 }, (_, index) => ({
    publicKey: Buffer.alloc(32, index).toString("base64"),
    endpoint: { ip: "2001:db8::1", port: 51840 },
    allowed: ["fe80::1/128"],
  }));
  const messages = setMessages("wg0", { port: 7, put, removed: [] });
  t.equal(messages.length, 3);
  t.same(
    messages.map(({ body }) => new Attributes(body).has(6)),
    [true, false, false],
  );
  t.ok(messages.every(({ body }) => body.length < 65_536));
  t.equal(setMessages("wg0", { port: 7, put: [], removed: [] }).length, 1);
  t.throws(() => setMessages("wg0", { privateKey: "c2hvcnQ=", put: [], removed: [] }), RangeError);
  t.end();
});

t.test("what a link tells is read as it was set, a peer in two parts as one", (t) => {
  const peer = { publicKey: base64(3), endpoint: { ip: "192.0.2.2", port: 51841 }, allowed: ["fe80::2/128"] };
  const other = { publicKey: base64(4), endpoint: { ip: "2001:db8::4", port: 9 }, allowed: ["10.0.0.0/8"] };
  const read = (more: object) =>
    setMessages("wg0", { put: [], removed: [], ...more }).map(({ body }) => readPart(new Attributes(body)));
  const parts = [
    ...read({ privateKey: base64(1), port: 51840, put: [peer, other] }),
    ...read({ put: [{ ...other, allowed: ["10.1.0.0/16"] }] }),
  ];
  t.same(joinParts(parts), {
    privateKey: base64(1),
    port: 51840,
    peers: [peer, { ...other, allowed: ["10.0.0.0/8", "10.1.0.0/16"] }],
  });
  t.equal(joinParts([]), undefined);
  const none = attribute(3, Buffer.alloc(32));
  t.equal(readPart(new Attributes(none)).privateKey, undefined, "none yet");
  t.same(readPart(new Attributes(attribute(8 | nested, attribute(nested, attribute(4, Buffer.of(1, 2)))))).peers, [
    { publicKey: "", endpoint: undefined, allowed: [] },
  ]);
  t.end();
});

t.test("families of generic netlink are found by their names", (t) => {
  // The family that every kernel has; asked for itself (CTRL_CMD_GETFAMILY, CTRL_ATTR_FAMILY_NAME).
  const control = new GenericNetlink("nlctrl");
  t.teardown(() => control.close());
  const all = control.list({ command: 3, version: 2, body: Buffer.alloc(0), subject: "all families" }, (attributes) =>
    attributes.text(2),
  );
  t.ok(all.includes("nlctrl"));
  t.throws(() => control.request({ command: 200, version: 1, body: Buffer.alloc(0), subject: "nothing" }), {
    name: "NetlinkError",
  });
  t.throws(() => new GenericNetlink("pontoon-none"), { code: "ENOENT" });
  t.end();
});
