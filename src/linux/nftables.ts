import koffi from "koffi";

interface Library {
  create: (flags: number) => object | null;
  free: (context: object) => void;
  run: (context: object, commands: string) => number;
  bufferOutput: (context: object) => number;
  bufferError: (context: object) => number;
  output: (context: object) => string;
  error: (context: object) => string;
  outputFlags: (context: object, flags: number) => void;
}

const NFT_CTX_OUTPUT_HANDLE_NUMERIC = (1 << 6) | (1 << 7) | (1 << 9); // numeric protocols, priorities and symbols

/** EINTR in the words of the C library, which libnftables passes on. */
const interrupted = "Interrupted system call";
const triesAtMost = 5;

let library: Library | undefined;

/** Thrown when nftables refuses a transaction; nothing of it was applied. */
export class NftablesError extends Error {
  override readonly name = "NftablesError";
  readonly code = "NFTABLES_REFUSED";
}

/** Whether libnftables can be loaded; the error says why not. */
export function nftablesProblem(): string | undefined {
  try {
    load();
    return undefined;
  } catch (error) {
    return `libnftables cannot be loaded (${(error as Error).message}); install the package nftables`;
  }
}

/**
 * Runs nft commands in the calling thread's network namespace, as one transaction.
 * In-process: 0.1 ms rather than the 2.5 ms of an `nft` process. Holds no descriptor afterwards.
 * The socket it opens must get a number below 1024, or libnftables aborts the process: see descriptors.ts.
 * @returns what the commands print
 */
export function runNft(commands: string): string {
  for (let tried = 1; ; tried++) {
    try {
      return runOnce(commands);
    } catch (error) {
      // The rules changed while they were read, or a signal came; nothing was applied.
      const wasInterrupted = error instanceof NftablesError && error.message.includes(interrupted);
      if (!wasInterrupted || tried === triesAtMost) throw error;
    }
  }
}

function runOnce(commands: string): string {
  const nft = load();
  const context = nft.create(0);
  if (context === null) throw new NftablesError("libnftables gave no context: is the kernel's nf_tables module missing?");
  try {
    nft.bufferOutput(context);
    nft.bufferError(context);
    nft.outputFlags(context, NFT_CTX_OUTPUT_HANDLE_NUMERIC);
    if (nft.run(context, commands) !== 0) throw new NftablesError(firstLine(nft.error(context)));
    return nft.output(context);
  } finally {
    nft.free(context);
  }
}

function load(): Library {
  if (library) return library;
  const nft = koffi.load("libnftables.so.1");
  const opaque = koffi.opaque();
  const pointer = koffi.pointer(opaque);
  const bind = (name: string, result: string | typeof pointer, parameters: (string | typeof pointer)[]) => nft.func(name, result, parameters);
  library = {
    create: bind("nft_ctx_new", pointer, ["uint32_t"]),
    free: bind("nft_ctx_free", "void", [pointer]),
    run: bind("nft_run_cmd_from_buffer", "int", [pointer, "str"]),
    bufferOutput: bind("nft_ctx_buffer_output", "int", [pointer]),
    bufferError: bind("nft_ctx_buffer_error", "int", [pointer]),
    output: bind("nft_ctx_get_output_buffer", "str", [pointer]),
    error: bind("nft_ctx_get_error_buffer", "str", [pointer]),
    outputFlags: bind("nft_ctx_output_set_flags", "void", [pointer, "unsigned int"]),
  };
  return library;
}

function firstLine(text: string): string {
  return text.split("\n")[0]?.replace(/^.*?Error: /, "") ?? "nftables gave no reason";
}
