import t from "tap";
import { readAnswer, setRequest } from "./uapi-text.js";

const hex = (byte: string) => byte.repeat(32);
const base64 = (byte: string) => Buffer.from(hex(byte), "hex").toString("base64");

t.test("what is set is said line by line, keys in hexadecimal", (t) => {
  const text = setRequest({
    privateKey: base64("01"),
    port: 51840,
    removed: [base64("02")],
    put: [
      { publicKey: base64("03"), endpoint: { ip: "2001:db8::1", port: 7 }, allowed: ["fe80::3/128"] },
      { publicKey: base64("04"), endpoint: undefined, allowed: [] },
    ],
  });
  t.equal(
    text,
    `set=1\nprivate_key=${hex("01")}\nlisten_port=51840\npublic_key=${hex("02")}\nremove=true\n` +
      `public_key=${hex("03")}\nendpoint=[2001:db8::1]:7\nreplace_allowed_ips=true\nallowed_ip=fe80::3/128\n` +
      `public_key=${hex("04")}\nreplace_allowed_ips=true\n\n`,
  );
  t.equal(setRequest({ put: [], removed: [] }), "set=1\n\n");
  t.end();
});

t.test("an answer is read, and what is none is not", (t) => {
  const text =
    `private_key=${hex("01")}\nlisten_port=51840\nfwmark=0\npublic_key=${hex("03")}\nendpoint=[2001:db8::1]:7\n` +
    `last_handshake_time_sec=0\nallowed_ip=fe80::3/128\npublic_key=${hex("04")}\nendpoint=192.0.2.1:9\nerrno=0\n\n`;
  t.same(readAnswer(text), {
    errno: 0,
    state: {
      privateKey: base64("01"),
      port: 51840,
      peers: [
        { publicKey: base64("03"), endpoint: { ip: "2001:db8::1", port: 7 }, allowed: ["fe80::3/128"] },
        { publicKey: base64("04"), endpoint: { ip: "192.0.2.1", port: 9 }, allowed: [] },
      ],
    },
  });
  t.same(readAnswer("errno=0\n\n")?.state, { privateKey: undefined, port: 0, peers: [] });
  t.equal(readAnswer("errno=-98\n\n")?.errno, 98);
  for (const none of ["", "\n\n", "listen_port=7\n", "errno=x\n\n", "listen_port=x\nerrno=0\n\n"])
    t.equal(readAnswer(none), undefined, none);
  t.end();
});
