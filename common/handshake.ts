import { integer, messageReader, text, word } from "./shape.js";

// What a daemon and any of its servers can say to each other whatever their versions: these messages, the framing and the
// order of descriptors never change. With them a daemon of any version can replace a server of any other without losing a
// query or a connection. What is not understood is ignored.

export type FirstToServer =
  /** Answered with `hello`, a `held` for everything it holds, and `held-all`; may be said again. */
  | { readonly kind: "hello"; readonly protocol: number; readonly version: string }
  /** Another server reads the sockets from now on: read them no more, finish what is under way, then end. */
  | { readonly kind: "drain" }
  /** Close everything and end. */
  | { readonly kind: "stop" };

export interface Hello {
  readonly kind: "hello";
  readonly protocol: number;
  readonly version: string;
  readonly pid: number;
}

/** All `held` messages have been sent. */
export interface HeldAll {
  readonly kind: "held-all";
}

const anyNumber = integer(0);

/** What a server of whatever version says first, if it makes sense. */
export const readFromServer = messageReader<Hello | HeldAll>({
  hello: { protocol: anyNumber, version: word(256), pid: integer(1, 1 << 22) },
  "held-all": {},
});

/** What a daemon of whatever version says first, if it makes sense. */
export const readFirstToServer = messageReader<FirstToServer>({
  hello: { protocol: anyNumber, version: text(256) },
  drain: {},
  stop: {},
});
