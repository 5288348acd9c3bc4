/** Nothing yet. */
export function* arm64Runs() {}
