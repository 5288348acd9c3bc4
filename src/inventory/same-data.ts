/** Whether two pieces of plain data are equal, that were built in the same key order by the same functions. */
export function sameData(known: unknown, fresh: unknown): boolean {
  return known !== undefined && JSON.stringify(known) === JSON.stringify(fresh);
}
